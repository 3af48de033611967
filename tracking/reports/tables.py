"""Tables and notes of fronts, trials and comparisons for the terminal, and a front as CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from rich.filesize import decimal
from rich.table import Table

from spaces.pareto.significance import LEVEL
from spaces.space.settings_text import shown_settings
from tracking.documents.schemas import Axis, ComparisonDocument, FrontDocument, FrontPoint, TrialsDocument
from tracking.reports.figure import SHARES, number
from tracking.reports.table_layout import FittingTable, plain_table, titled_table

PLACE, SETTINGS = "targets, layers", "settings"
_SETTINGS_WIDTH = 24  # in a narrower column settings would break into too many lines


def front_table(document: FrontDocument, *, confirmed: bool = False, axis: Axis = "trainable") -> FittingTable:
    """Return the table of a front, with its best point and its knee marked, and settings where there is room."""
    full, short = (_front_table(document, confirmed, axis, settings=settings) for settings in (True, False))
    return FittingTable(full, short)


def _front_table(document: FrontDocument, confirmed: bool, axis: Axis, *, settings: bool) -> Table:
    percent = document.objective.metric in SHARES
    tested = any(point.confirmed_quality is not None for point in document.front)
    marks = _marks(document)
    table = titled_table(_title(document, confirmed))
    for heading in ("trial", "method", *((PLACE,) if settings else ())):
        table.add_column(heading, no_wrap=settings)
    for heading in (f"{axis} parameters", "of base", document.objective.metric):
        table.add_column(heading, justify="right", no_wrap=settings)
    if tested:
        table.add_column("confirmed", justify="right", no_wrap=settings)
        table.add_column("test", justify="right", no_wrap=settings)
    table.add_column("adapter", justify="right", no_wrap=settings)
    if settings:
        table.add_column(SETTINGS, min_width=_SETTINGS_WIDTH)
    table.add_column("", no_wrap=settings)
    for point in document.front:
        shown = shown_settings(point.method, point.config)
        cells = [point.trial, point.method, *((shown.place,) if settings else ()), f"{point.size(axis):,}"]
        cells += [f"{point.size(axis) / document.base_parameters:.3%}", number(point.quality, percent)]
        if tested:
            cells += [_confirmed(point, percent), _number(point.test_quality, percent)]
        cells += [_bytes(point.adapter_bytes), *((shown.rest,) if settings else ())]
        table.add_row(*cells, marks.get(point.trial, ""))
    return table


def trials_table(document: TrialsDocument) -> FittingTable:
    """Return the table of every training of a search, with settings where there is room."""
    return FittingTable(_trials_table(document, settings=True), _trials_table(document, settings=False))


def _trials_table(document: TrialsDocument, *, settings: bool) -> Table:
    table = plain_table()
    for heading in ("trial", "state", "method", *((PLACE,) if settings else ())):
        table.add_column(heading, no_wrap=settings)
    for heading in ("trainable", "quality", "steps", "seconds"):
        table.add_column(heading, justify="right", no_wrap=settings)
    if settings:
        table.add_column(SETTINGS, min_width=_SETTINGS_WIDTH)
    table.add_column("reason", min_width=_SETTINGS_WIDTH if settings else None)
    reference = (document.reference,) if document.reference is not None else ()
    for entry in (*reference, *document.trials, *document.confirmations):
        shown = shown_settings(entry.method, entry.config)
        table.add_row(
            entry.trial,
            entry.state,
            entry.method,
            *((shown.place,) if settings else ()),
            f"{entry.trainable_parameters:,}",
            "" if entry.quality is None else f"{entry.quality:.4f}",
            "" if entry.steps is None else str(entry.steps),
            "" if entry.train_seconds is None else f"{entry.train_seconds:.1f}",
            *((shown.rest,) if settings else ()),
            entry.reason or "",
        )
    return table


def comparison_tables(document: ComparisonDocument) -> tuple[Table, Table]:
    """Return a table of the compared searches, and one of the front of all of them together."""
    percent = document.objective.metric in SHARES
    head = _number(document.reference.quality, percent)
    budget, metric = document.budget, document.objective.metric
    names = " and ".join(one.search for one in document.searches)
    title = f"{names} by {metric}, from {budget.at_least:,} to {budget.parameters:,} parameters (head alone {head})"
    searches = titled_table(title)
    numbers = (f"best {metric}", "parameters", "hypervolume", "points", "leading", "steps")
    for heading in ("search", *numbers, "base model"):
        searches.add_column(heading, justify="right" if heading in numbers else "left")
    for one in document.searches:
        area = "–" if one.hypervolume is None else f"{one.hypervolume:.3f}"
        best = ("–", "–")
        if one.best is not None:
            best = (number(one.best.quality, percent), f"{one.best.trainable_parameters:,}")
        counts = (str(one.points), str(one.leading), ", ".join(map(str, one.steps)) or "–")
        searches.add_row(one.search, *best, area, *counts, one.base_model)
    together = titled_table("The front of them all")
    for heading in ("search", "trial", "method", "trainable parameters", document.objective.metric):
        together.add_column(heading, justify="left" if heading in {"search", "trial", "method"} else "right")
    for point in document.front:
        quality = number(point.quality, percent)
        together.add_row(point.search, point.trial, point.method, f"{point.trainable_parameters:,}", quality)
    return searches, together


def differences_note(document: ComparisonDocument) -> str:
    """Return a warning with the differences between the searches; empty where there are none."""
    told = "; ".join(document.differences)
    return f"Not only their methods differ, so compare with care: {told}." if told else ""


def answer_note(document: FrontDocument) -> str:
    """Return a line that says there is no best point and no knee, or that they are not on this front; else empty."""
    if not document.front:
        return ""
    if document.best is None or document.knee is None:
        if document.reference.quality is None:
            return (
                "The head alone was not measured, so no trial is known to beat it: there is no best point and no knee."
            )
        head = number(document.reference.quality, document.objective.metric in SHARES)
        known = any(point.confirmed_quality is not None for point in document.front)
        how = " by its confirmed quality" if known else ""
        return f"No trial of this front beats the head alone ({head}){how}, so it has no best point and no knee."
    shown = {point.trial for point in document.front}
    beside = ", ".join(f"{trial} ({mark})" for trial, mark in _marks(document).items() if trial not in shown)
    return f"Not on this front, for trials on it did worse when they were confirmed: {beside}." if beside else ""


def ties_note(document: FrontDocument) -> str:
    """Return a line on the neighbours of a confirmed front that the test does not tell apart; empty where unknown."""
    if (found := document.ties) is None:
        return ""
    pairs = ", ".join(f"{left} and {right}" for left, right in found.pairs)
    apart = (
        f"Not told apart with {LEVEL:.0%} confidence: {pairs}." if pairs else f"Told apart with {LEVEL:.0%} confidence."
    )
    rows = "" if found.rows is None else f"{found.rows:,} validation rows"
    if found.most > 1:
        trainings = f"{found.most}" if found.fewest == found.most else f"{found.fewest} to {found.most}"
        known = f" and {rows}" if rows else "; the error of the validation rows is not known"
        return f"{apart} This rests on {trainings} fresh trainings of each{known}."
    if rows:
        return f"{apart} This rests on {rows} of one fresh training each; another seed may change it."
    return f"{apart} There is one fresh training of each, and its outcomes by row are not known."


def front_csv(document: FrontDocument, path: Path) -> None:
    """Write a front as CSV: the fields of its points, of which `config` as JSON, and columns of the settings."""
    columns = [*FrontPoint.model_fields, "of_base", "targets", "layers", "size", "learning_rate", "other_settings"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        for point in document.front:
            shown = shown_settings(point.method, point.config)
            writer.writerow(
                point.model_dump(mode="json")
                | {
                    "config": json.dumps(point.config),
                    "of_base": point.trainable_parameters / document.base_parameters,
                    "targets": shown.targets,
                    "layers": shown.layers,
                    "size": shown.size,
                    "learning_rate": point.config.get("learning_rate"),
                    "other_settings": ", ".join(shown.others),
                }
            )


def _title(document: FrontDocument, confirmed: bool) -> str:
    name = f"{document.search}, confirmed" if confirmed else document.search
    percent = document.objective.metric in SHARES
    head = _number(document.reference.quality, percent)
    area = "" if document.hypervolume is None else f", hypervolume {document.hypervolume:.3f}"
    return f"{name}: up to {document.budget.parameters:,} parameters, head alone {head}{area}"


def _marks(document: FrontDocument) -> dict[str, str]:
    """Return the marks "best" and "knee" by trial."""
    marks: dict[str, str] = {}
    for mark, point in (("best", document.best), ("knee", document.knee)):
        if point is not None:
            marks[point.trial] = f"{marks[point.trial]}, {mark}" if point.trial in marks else mark
    return marks


def _confirmed(point: FrontPoint, percent: bool) -> str:
    if point.confirmed_quality is None:
        return "–"
    spread = "" if point.confirmed_std is None else f" ± {number(point.confirmed_std, percent)}"
    return number(point.confirmed_quality, percent) + spread


def _number(value: float | None, percent: bool) -> str:
    return "–" if value is None else number(value, percent)


def _bytes(count: int) -> str:
    return f"{count} B" if count < 1000 else decimal(count)  # which writes "bytes" in full
