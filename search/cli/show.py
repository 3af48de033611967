"""`front`, `trials`, `compare` and `searches`: print and draw what MLflow holds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.console import Console

from search.cli.sources import Source, front_and_trials
from search.storage.checks import try_writing
from search.terminal import print_json
from spaces.errors import RequestError
from tracking.lookup import check_names
from tracking.queries import comparison, searches_document
from tracking.reports.plots import draw_html, draw_png, front_html, front_png
from tracking.reports.table_layout import plain_table
from tracking.reports.tables import (
    answer_note,
    comparison_tables,
    differences_note,
    front_csv,
    front_table,
    ties_note,
    trials_table,
)


def front(
    source: Source,
    name: str,
    confirmed: bool,
    axis: Literal["trainable", "stored"],
    html: Path | None,
    png: Path | None,
    csv: Path | None,
    as_json: bool,
    console: Console,
) -> None:
    """Print the front of a search, and write it to the files that are named.

    Raises:
        RequestError: when there is no such search, or a file cannot be written.
    """
    files = [(option, path) for option, path in (("html", html), ("png", png), ("csv", csv)) if path is not None]
    for option, path in files:
        _check_file(option, path)
    if html is None and png is None:
        document = source.front(name, confirmed=confirmed, axis=axis)
    else:
        document, trained = front_and_trials(source, name, confirmed=confirmed, axis=axis)
        if html is not None:
            front_html(document, trained, html, confirmed=confirmed, axis=axis)
        if png is not None:
            front_png(document, trained, png, confirmed=confirmed, axis=axis)
    if csv is not None:
        front_csv(document, csv)
    if as_json:
        print_json(document)
        return
    console.print(front_table(document, confirmed=confirmed, axis=axis))
    for note in (answer_note(document), ties_note(document)):
        if note:
            console.print(note, highlight=False, soft_wrap=True)
    for _, path in files:
        console.print(f"wrote {path}", highlight=False)


def compare(
    uri: str, names: list[str], confirmed: bool, html: Path | None, png: Path | None, as_json: bool, console: Console
) -> None:
    """Print fronts side by side, and draw them into the files that are named.

    Raises:
        RequestError: for fewer than two searches, one that does not exist, or metrics that differ.
    """
    check_names(tuple(names))
    files = [(option, path) for option, path in (("html", html), ("png", png)) if path is not None]
    for option, path in files:
        _check_file(option, path)
    document, picture = comparison(uri, names, confirmed=confirmed)
    if html is not None:
        draw_html(picture, html)
    if png is not None:
        draw_png(picture, png)
    if as_json:
        print_json(document)
        return
    for table in comparison_tables(document):
        console.print(table)
    if note := differences_note(document):
        console.print(note, style="yellow", highlight=False, soft_wrap=True)
    for _, path in files:
        console.print(f"wrote {path}", highlight=False)


def _check_file(option: str, path: Path) -> None:
    """Refuse a file that cannot be written, before any other is written."""
    reason = "is a folder" if path.is_dir() else None
    try:
        try_writing(path.parent)
    except OSError as error:
        reason = f"{path.parent} cannot be written: {error.strerror}"
    if reason is not None:
        raise RequestError(f"--{option} {path}: {reason}; allowed: a file in a folder that exists")


def trials(source: Source, name: str, as_json: bool, console: Console) -> None:
    """Print everything that a search trained."""
    document = source.trials(name)
    if as_json:
        print_json(document)
        return
    console.print(trials_table(document))


def searches(uri: str, as_json: bool, console: Console) -> None:
    """Print every search, and the records that cannot be read."""
    document = searches_document(uri)
    if as_json:
        print_json(document)
        return
    table = plain_table()
    for column in ("search", "state", "started", "trials", "hypervolume", "base model"):
        table.add_column(column)
    for entry in document.searches:
        counts = entry.trials
        table.add_row(
            entry.search,
            entry.state,
            entry.started,
            f"{counts.finished} finished, {counts.stopped} stopped, {counts.failed} failed",
            "" if entry.hypervolume is None else f"{entry.hypervolume:.3f}",
            entry.base_model,
        )
    console.print(table)
    for spoiled in document.unreadable:
        console.print(f"{spoiled.search}: cannot be read ({spoiled.reason})", highlight=False, soft_wrap=True)
