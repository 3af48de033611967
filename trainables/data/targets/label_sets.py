"""Any number of labels an example, for multi-label-classification: a column of lists, or a column for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spaces.errors import RequestError
from trainables.data.column_checks import as_number, check_twins, class_names, class_positions, label_order
from trainables.data.encoded_split import Array
from trainables.data.tables import Column, Table, shown
from trainables.data.targets.list_columns import items, lists


@dataclass(frozen=True)
class LabelLists:
    """Reads a column of lists of labels; a list may be empty."""

    column: str

    @property
    def columns(self) -> tuple[Column, ...]:
        return (("data.label", self.column),)

    def names(self, table: Table) -> tuple[str, ...]:
        """Return the labels that occur, in order.

        Raises:
            RequestError: when a label is missing or means the same as another one, or there is no label at all.
        """
        flat = items(table, self.column, lists(table, self.column, "labels"))
        names = class_names(flat, self.column)
        if not names:
            raise RequestError(f"{table.field} = {table.source}: no row has a label; allowed: two labels or more")
        check_twins(flat, self.column, names)
        return label_order(names)

    def read(self, table: Table, labels: Sequence[str]) -> Array:
        """Return 1.0 where a row has a label, shape (rows, labels), float32.

        Raises:
            RequestError: naming the row, when it has a label that is not in `labels`.
        """
        values = lists(table, self.column, "labels")
        places = class_positions(items(table, self.column, values), self.column, labels)
        found = np.zeros((len(table), len(labels)), dtype=np.float32)
        found[np.repeat(np.arange(len(table)), [len(one) for one in values]), places] = 1
        return found

    def check(self, table: Table, targets: Array) -> None:
        """Refuse a split whose rows all have the same labels.

        Raises:
            RequestError: when they do.
        """
        check_varied(table, targets)

    def strata(self, targets: Array) -> None:
        """Return None: rows have no one class by which to draw them."""


@dataclass(frozen=True)
class LabelColumns:
    """Reads a column of 0 and 1 for each label; the columns' names are the labels."""

    labels: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(("data.label", one) for one in self.labels)

    def names(self, table: Table) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self.labels

    def read(self, table: Table, labels: Sequence[str]) -> Array:
        """Return the columns beside each other, shape (rows, labels), float32.

        Raises:
            RequestError: naming the row, when a value is not 0 or 1.
        """
        return np.stack([self._column(table, one) for one in labels], axis=1)

    def _column(self, table: Table, column: str) -> Array:
        found = np.zeros(len(table), dtype=np.float32)
        for position, value in enumerate(table.columns[column]):
            named = {"true": 1.0, "false": 0.0}.get(str(value).strip().lower())
            found[position] = as_number(value) if named is None else named
            if found[position] not in (0, 1):
                raise table.problem(position, f"column {column!r} holds {shown(value)}; allowed: 0 or 1")
        return found

    def check(self, table: Table, targets: Array) -> None:
        """Refuse a split whose rows all have the same labels.

        Raises:
            RequestError: when they do.
        """
        check_varied(table, targets)

    def strata(self, targets: Array) -> None:
        """Return None: rows have no one class by which to draw them."""


def check_varied(table: Table, targets: Array) -> None:
    """Refuse a split whose rows all have the same labels: nothing can be learnt or measured on it.

    Raises:
        RequestError: when they do.
    """
    if np.all(targets == targets[0]):
        raise RequestError(
            f"{table.field} = {table.source}: every row has the same labels; allowed: rows that differ in them"
        )
