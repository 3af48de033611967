"""The bounds of a spec before its fields are looked at: it is text, numbers, and lists and mappings of these.

Specs come from files, from requests and out of MLflow; whatever is none of this can be neither kept nor sent as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from spaces.errors import RequestError

DEPTH = 16
"""Lists and mappings within each other; no field needs more than five."""

ITEMS = 100_000
"""Values of a spec, all together."""

CHARACTERS = 10_000
"""Of one text, and of one name."""

WHOLE = 2**63
"""Whole numbers lie below it, as databases keep them."""


def check_plain(values: Any) -> None:
    """See that values can be kept as JSON by everyone, and are no larger than a spec has use for.

    Raises:
        RequestError: naming the field and what is allowed.
    """
    for number, (path, value) in enumerate(_within(values)):
        if number > ITEMS:
            raise RequestError(f"spec: more than {ITEMS:,} values; allowed: fewer")
        wrong = _wrong(value)
        if wrong is not None:
            raise RequestError(shortened(f"{'.'.join(path) or 'spec'}: {wrong}"))


def shortened(message: str, most: int = 1_000) -> str:
    """Return a message on one line, without most of a long value that it quotes.

    Unlike `one_line` it keeps the end, which says what is allowed.
    """
    line = " ".join(message.split())
    return line if len(line) <= most else f"{line[: most // 2]} … {line[-most // 4 :]}"


def _within(values: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with the names that lead to it, and every name as a value of its own."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), values)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > DEPTH:
            raise RequestError(shortened(f"{'.'.join(path[:3])}: nested too deeply; allowed: {DEPTH} levels"))
        yield path, value
        if isinstance(value, dict):
            for name, inner in value.items():
                yield path, name
                waiting.append(((*path, _shown(name)), inner))
        elif isinstance(value, list | tuple):
            waiting += [((*path, str(position)), inner) for position, inner in enumerate(value)]


def _shown(name: object) -> str:
    return str(name).encode("ascii", "backslashreplace").decode()[:100] if isinstance(name, str) else "?"


def _wrong(value: Any) -> str | None:
    """The fault of one value, apart from its parts."""
    if isinstance(value, str):
        if len(value) > CHARACTERS:
            return f"a text of {len(value):,} characters; allowed: at most {CHARACTERS:,}"
        if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
            return "holds what is no text; allowed: Unicode without NUL characters and halves of surrogate pairs"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number; allowed: finite numbers"
    elif isinstance(value, int) and abs(value) >= WHOLE:
        return "a whole number beyond 64 bits; allowed: a smaller one"
    return None
