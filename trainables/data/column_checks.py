"""Checks the values of a column row by row: texts, class names, numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from spaces.errors import RequestError
from trainables.data.labels import label_key, label_name
from trainables.data.tables import Table, listed, shown

Targets = npt.NDArray[np.float32] | npt.NDArray[np.float64]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
# Python itself also reads `1_000`, `infinity` and the digits of other scripts as numbers.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LEAST_PRECISION = 1e-3
"""The part of the targets' spread by which float32 may move one."""


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN differs from itself


def texts(table: Table, column: str) -> list[str]:
    """Return the texts of `column`, unchanged.

    Raises:
        RequestError: when a text is missing, blank, not a text, or not valid Unicode.
    """
    values = table.columns[column]
    for position, value in enumerate(values):
        if _missing(value) or (isinstance(value, str) and not value.strip()):
            raise table.problem(position, f"column {column!r} is empty; allowed: text")
        if not isinstance(value, str):
            raise table.problem(position, f"column {column!r} holds {shown(value)}; allowed: text")
        try:
            value.encode()  # JSON can name half a surrogate pair, on which tokenizers fail
        except UnicodeEncodeError:
            raise table.problem(position, f"column {column!r} is not valid Unicode; allowed: text") from None
    return values


def class_names(table: Table, column: str) -> list[str]:
    """Return the label of each row as text: one name for equal numbers, and the class's own name if the source has it.

    Raises:
        RequestError: when a label is missing, or neither text nor number; or some are true or false and others numbers.
    """
    names = []
    kinds: set[bool] = set()
    classes = table.class_names.get(column, ())
    for position, value in enumerate(table.columns[column]):
        if _missing(value) or not str(value).strip() or (classes and value == -1):
            raise table.problem(position, f"column {column!r} has no label; allowed: text or a number")
        number = isinstance(value, int | float | Decimal)
        if not isinstance(value, str | int) and not (number and math.isfinite(value)):
            raise table.problem(position, f"column {column!r} holds {shown(value)}; allowed: text or a number")
        kinds |= {isinstance(value, bool)} if number else set()
        if len(kinds) > 1:
            raise table.problem(
                position, f"column {column!r} holds {shown(value)}, and numbers as well as true or false; allowed: one"
            )
        if classes and number:
            names.append(_class_name(table, position, column, value, classes))
        else:
            names.append(label_name(value))
    return names


def _class_name(table: Table, position: int, column: str, value: Any, classes: Sequence[str]) -> str:
    if value not in range(len(classes)):
        raise table.problem(
            position,
            f"column {column!r} holds {shown(value)}; allowed: 0 to {len(classes) - 1}, places of classes",
        )
    return classes[int(value)]


def label_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct labels, by value if all are whole numbers, else alphabetically."""
    distinct = set(names)
    if all(_INTEGER.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=int))
    return tuple(sorted(distinct))


def check_twins(table: Table, column: str, names: Sequence[str]) -> None:
    """Check that no two labels of a column mean the same: a model could not tell their rows apart.

    Raises:
        RequestError: when two do.
    """
    first: dict[Hashable, str] = {}
    for name in dict.fromkeys(names):
        twin = first.setdefault(label_key(name), name)
        if twin != name:
            raise table.problem(
                names.index(name),
                f"column {column!r} holds the label {shown(name)}, and {shown(twin)} elsewhere, which means the same; "
                "allowed: one way to write it",
            )


def near_twins(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of labels that differ only in capitals."""
    first: dict[str, str] = {}
    return [(first[key], name) for name in labels if first.setdefault(key := name.casefold(), name) != name]


def class_positions(table: Table, column: str, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the class of each row as its position in `labels`, shape (rows,).

    Raises:
        RequestError: when a label is missing, or means none of `labels`.
    """
    places: Mapping[str, int] = {label: place for place, label in enumerate(labels)}
    by_key = {label_key(label): place for label, place in places.items()}
    names = class_names(table, column)
    known = {name: places.get(name, by_key.get(label_key(name))) for name in set(names)}
    for position, name in enumerate(names):
        if known[name] is None:
            raise table.problem(
                position, f"label {shown(name)} is not among those of data.train; allowed: {listed(labels)}"
            )
    return np.array([known[name] for name in names], dtype=np.int64)


def numbers(table: Table, column: str) -> Targets:
    """Return the target of each row, shape (rows,), in float32; in float64 if float32 would blur large close ones.

    Raises:
        RequestError: when a target is missing, not a number, or not finite in float32.
    """
    result = np.zeros(len(table), dtype=np.float64)
    for position, value in enumerate(table.columns[column]):
        found = as_number(value)
        if not abs(found) <= float(np.finfo(np.float32).max):
            raise table.problem(position, f"column {column!r} holds {shown(value)}; allowed: a finite number")
        result[position] = found
    single = result.astype(np.float32)
    return result if is_blurred(result) else single


def is_blurred(targets: npt.NDArray[Any]) -> bool:
    """Return whether float32 moves a target by more than a small part of their spread."""
    spread = float(np.ptp(targets))
    moved = float(np.abs(targets - targets.astype(np.float32).astype(np.float64)).max())
    return spread > 0 and moved > _LEAST_PRECISION * spread


def as_number(value: Any) -> float:
    """Return the value as a number, or NaN if it is none."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return math.nan
    try:
        return float(value) if isinstance(value, str | int | float | Decimal) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def check_distinct(table: Table, column: str, targets: npt.NDArray[np.generic]) -> None:
    """Refuse a split whose targets are all equal: nothing can be learnt or measured on it.

    Raises:
        RequestError: when all targets are equal.
    """
    if np.all(targets == targets[0]):
        value = shown(table.columns[column][0])
        raise RequestError(
            f"{table.field} = {table.source}: every row has the label {value}; allowed: two labels or more"
        )
