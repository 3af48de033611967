"""Names of classes, and the keys that are equal for values of the same class."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable
from decimal import Decimal

Label = str | int | float | Decimal

_WHOLE = re.compile(r"(-?)(0|[1-9][0-9]*)(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


def label_name(value: Label) -> str:
    """Return the name of a value's class. A whole number has one name: text `1.0`, 1.0 and 1 are `1`."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = f"{value:f}" if isinstance(value, Decimal) else str(value).strip()
    whole = _WHOLE.fullmatch(text)
    if whole:
        sign, digits, _ = whole.groups()
        return digits if digits == "0" else sign + digits
    return unicodedata.normalize("NFC", text)


def label_key(name: str) -> Hashable:
    """Return a key that is equal for names of the same meaning.

    For example `007` and `7`, `true` and `True`, `½` and `1⁄2`, two kinds of blanks.
    """
    compatible = unicodedata.normalize("NFKC", name)
    visible = "".join(letter for letter in compatible if unicodedata.category(letter) != "Cf")
    text = " ".join(visible.split())
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    return text.casefold() if text.casefold() in ("true", "false") else text
