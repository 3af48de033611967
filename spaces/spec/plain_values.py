"""Plain values: a spec, before its fields are checked, is text, numbers, and lists and mappings of these.

Specs come from files, requests and MLflow. Other values can neither be stored nor sent as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from spaces.errors import RequestError

DEPTH = 16
"""Levels of nested lists and mappings; no field needs more than five."""

ITEMS = 100_000
"""Values of a whole spec."""

CHARACTERS = 10_000
"""Characters of one text, and of one name."""

WHOLE = 2**63
"""Whole numbers are below it, as in databases."""


def check_plain(values: Any) -> None:
    """Check that values can be stored as JSON, and are not larger than a spec can need.

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
    """Yield every value with the names that lead to it, and every name as a value as well."""
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
    """Return the fault of one value, without its parts; None if it has none."""
    if isinstance(value, str):
        if len(value) > CHARACTERS:
            return f"a text of {len(value):,} characters; allowed: at most {CHARACTERS:,}"
        if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
            return "holds characters that are not text; allowed: Unicode without NUL and halves of surrogate pairs"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number; allowed: a finite one"
    elif isinstance(value, int) and abs(value) >= WHOLE:
        return "a whole number beyond 64 bits; allowed: a smaller one"
    return None
