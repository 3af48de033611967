"""Columns of lists, as tables with a row for each item, so that errors name the row that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trainables.data.tables import Table, shown


def lists(table: Table, column: str, of: str) -> list[list[Any]]:
    """Return the lists of `column`, whose items are called `of` in messages.

    Raises:
        RequestError: when a value is missing, or not a list.
    """
    found = []
    for position, value in enumerate(table.columns[column]):
        if value is None:
            raise table.problem(position, f"column {column!r} is empty; allowed: a list of {of}")
        if not isinstance(value, list | tuple | np.ndarray):
            raise table.problem(position, f"column {column!r} holds {shown(value)}; allowed: a list of {of}")
        found.append(list(value))
    return found


def items(table: Table, column: str, values: Sequence[Sequence[Any]]) -> Table:
    """Return a table whose only column has the items of all lists, each under the row number of its list."""
    rows = [row for row, one in zip(table.rows, values, strict=True) for _ in one]
    return replace(table, columns={column: [item for one in values for item in one]}, rows=rows)
