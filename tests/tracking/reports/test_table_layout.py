"""Layouts of tables."""

from __future__ import annotations

import io

from rich.console import Console

from tracking.reports.table_layout import FittingTable, plain_table, titled_table


def shown(table: object, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return [line.rstrip() for line in console.export_text().splitlines()]


def fitting(cell: str) -> FittingTable:
    full, short = plain_table(), plain_table()
    full.add_column("name", no_wrap=True)
    full.add_column("more")
    short.add_column("name")
    full.add_row(cell, "settings")
    short.add_row(cell)
    return FittingTable(full, short)


def test_the_full_table_is_shown_where_it_fits_and_else_the_short_one() -> None:
    table = fitting("two words")
    least = len("  two words  ") + len("  settings  ")
    assert shown(table, least) == ["  name         more", "  two words    settings"]
    assert shown(table, least - 1) == ["  name", "  two words"]


def test_a_plain_table_has_no_lines_and_a_titled_one_begins_at_the_edge() -> None:
    plain, titled = plain_table(show_header=False), titled_table("All of them")
    for table in (plain, titled):
        table.add_column("a long name")
        table.add_row("one")
    assert shown(plain, 20) == ["  one"]
    assert shown(titled, 20) == ["All of them", "a long name", "one"]
