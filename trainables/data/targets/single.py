"""One class or number an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainables.data.column_checks import (
    check_distinct,
    check_twins,
    class_names,
    class_positions,
    label_order,
    numbers,
)
from trainables.data.encoded_split import Array
from trainables.data.tables import Column, Table


@dataclass(frozen=True)
class Classes:
    """Reads a column with the class of each row."""

    column: str

    @property
    def columns(self) -> tuple[Column, ...]:
        return (("data.label", self.column),)

    def names(self, table: Table) -> tuple[str, ...]:
        """Return the classes that occur, in order.

        Raises:
            RequestError: when a label is missing, or means the same as another one.
        """
        names = class_names(table, self.column)
        check_twins(table, self.column, names)
        return label_order(names)

    def read(self, table: Table, labels: Sequence[str]) -> Array:
        """Return the positions of the classes in `labels`, shape (rows,).

        Raises:
            RequestError: when a label is missing, or means none of `labels`.
        """
        return class_positions(table, self.column, labels)

    def check(self, table: Table, targets: Array) -> None:
        """Refuse a split of one class.

        Raises:
            RequestError: when it is.
        """
        check_distinct(table, self.column, targets)

    def strata(self, targets: Array) -> Array:
        """Return the classes, in whose proportions rows are drawn."""
        return targets


@dataclass(frozen=True)
class Numbers:
    """Reads a column with the number that is to be predicted for each row."""

    column: str

    @property
    def columns(self) -> tuple[Column, ...]:
        return (("data.label", self.column),)

    def names(self, table: Table) -> tuple[str, ...]:
        """Return no names: numbers have none."""
        return ()

    def read(self, table: Table, labels: Sequence[str]) -> Array:
        """Return the numbers, shape (rows,).

        Raises:
            RequestError: when one is missing, not a number, or not finite in float32.
        """
        return numbers(table, self.column)

    def check(self, table: Table, targets: Array) -> None:
        """Refuse a split of equal numbers.

        Raises:
            RequestError: when it is.
        """
        check_distinct(table, self.column, targets)

    def strata(self, targets: Array) -> None:
        """Return None: rows are drawn whatever their numbers."""
