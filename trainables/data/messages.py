"""A value or a list of names as part of a message of one line."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

_MOST_NAMES = 10
_LONGEST_NAME = 60

_VALUES = reprlib.Repr()
_VALUES.maxlevel = 2
_VALUES.maxdict = _VALUES.maxlist = 3
_VALUES.maxstring = _VALUES.maxother = _VALUES.maxlong = _LONGEST_NAME


def shown(value: object) -> str:
    """A value as Python writes it, its middle left out where that is long."""
    return _VALUES.repr(value)


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    short = [f"{name[:_LONGEST_NAME]}…" if len(name) > _LONGEST_NAME else name for name in names[:_MOST_NAMES]]
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(" ".join(name.split()) for name in short) + more
