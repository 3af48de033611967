"""What the values of a column must be, checked row by row: texts, class names, numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spaces.errors import RequestError
from trainables.data.tables import Table

_SHOWN = 10
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN differs from itself


def texts(table: Table, column: str) -> list[str]:
    """The texts of `column`, unchanged.

    Raises:
        RequestError: a text is missing, blank, not a text, or not valid Unicode.
    """
    values = table.columns[column]
    for position, value in enumerate(values):
        if _missing(value) or (isinstance(value, str) and not value.strip()):
            raise table.problem(position, f"column {column!r} is empty; allowed: text")
        if not isinstance(value, str):
            raise table.problem(position, f"column {column!r} holds {value!r}; allowed: text")
        try:
            value.encode()  # JSON can name half a surrogate pair, which tokenizers choke on
        except UnicodeEncodeError:
            raise table.problem(position, f"column {column!r} is not valid Unicode; allowed: text") from None
    return values


def class_names(table: Table, column: str) -> list[str]:
    """The label of each row as text. Whole numbers stored as floats, as pandas does beside gaps, lose their `.0`.

    Raises:
        RequestError: a label is missing, or neither text nor number.
    """
    names = []
    for position, value in enumerate(table.columns[column]):
        if _missing(value) or not str(value).strip():
            raise table.problem(position, f"column {column!r} has no label; allowed: text or a number")
        if not isinstance(value, str | int | float):
            raise table.problem(position, f"column {column!r} holds {value!r}; allowed: text or a number")
        whole = isinstance(value, float) and value.is_integer()
        names.append(str(int(value) if whole else value).strip())
    return names


def label_order(names: Sequence[str]) -> tuple[str, ...]:
    """The distinct labels: by value when all are whole numbers, else alphabetically."""
    distinct = set(names)
    if all(_INTEGER.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=int))
    return tuple(sorted(distinct))


def class_positions(table: Table, column: str, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """The class of each row as its position in `labels`, shape (rows,).

    Raises:
        RequestError: a label is missing, or not among `labels`.
    """
    places = {label: place for place, label in enumerate(labels)}
    names = class_names(table, column)
    for position, name in enumerate(names):
        if name not in places:
            shown = ", ".join(labels[:_SHOWN]) + (f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else "")
            raise table.problem(position, f"label {name!r} is not among those of data.train; allowed: {shown}")
    return np.array([places[name] for name in names], dtype=np.int64)


def numbers(table: Table, column: str) -> npt.NDArray[np.float32]:
    """The target of each row, shape (rows,).

    Raises:
        RequestError: a target is missing, not a number, or not finite in float32.
    """
    result = np.zeros(len(table), dtype=np.float32)
    for position, value in enumerate(table.columns[column]):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = np.nan
        if not abs(number) <= float(np.finfo(np.float32).max):
            raise table.problem(position, f"column {column!r} holds {value!r}; allowed: a finite number")
        result[position] = number
    return result


def check_distinct(table: Table, column: str, targets: npt.NDArray[np.generic]) -> None:
    """Refuse a split from which nothing can be learnt, or that tells nothing of what was.

    Raises:
        RequestError: all targets are equal.
    """
    if np.all(targets == targets[0]):
        value = table.columns[column][0]
        raise RequestError(
            f"{table.field} = {table.source}: every row has the label {value!r}; allowed: two labels or more"
        )
