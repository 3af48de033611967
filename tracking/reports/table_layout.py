"""Layouts of tables in a terminal: without lines, and without some columns where there is no room for them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

_UNLIMITED = 10_000


def plain_table(*, show_header: bool = True, header_style: str = "table.header") -> Table:
    """Return a table without lines, its columns two spaces from what is beside them."""
    return Table(box=None, padding=(0, 2), show_header=show_header, header_style=header_style)


def titled_table(title: str) -> Table:
    """Return a table without lines under a bold title, both from the left edge on."""
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


@dataclass(frozen=True)
class FittingTable:
    """Render `full` where all its columns with `no_wrap` fit on the terminal, else `short`."""

    full: Table
    short: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column in self.full.columns:
            if column.no_wrap:  # Rich measures only the longest word of a column
                column.min_width = _width(column)
        least = Measurement.get(console, options.update(width=_UNLIMITED), self.full).minimum
        yield self.full if least <= options.max_width else self.short


def _width(column: Column) -> int:
    return max(cell_len(str(cell)) for cell in (column.header, *column.cells))
