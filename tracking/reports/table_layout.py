"""Tables that leave columns out where a terminal has no room for them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

_UNLIMITED = 10_000


@dataclass(frozen=True)
class FittingTable:
    """The `full` table where its columns of `no_wrap` are whole on the terminal, else the `short` one."""

    full: Table
    short: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column in self.full.columns:
            if column.no_wrap:  # of which Rich measures the longest word alone
                column.min_width = _width(column)
        least = Measurement.get(console, options.update(width=_UNLIMITED), self.full).minimum
        yield self.full if least <= options.max_width else self.short


def _width(column: Column) -> int:
    return max(cell_len(str(cell)) for cell in (column.header, *column.cells))
