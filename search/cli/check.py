"""`count` and `validate`: a spec together with its model and its data, without training."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search.command_process import complaint
from search.counting import count_configuration
from search.documents.commands import CountDocument, ValidateDocument
from search.terminal import announce, print_json
from search.validation import validate as validate_spec
from spaces.errors import RequestError
from spaces.spec.spec import load_spec, parse_value
from tracking.reports.table_layout import plain_table

_TOTALS = ("trainable_parameters", "stored_parameters", "adapter_bytes", "head_parameters", "base_parameters")


def count(spec_path: Path, method: str, settings: list[str], as_json: bool, console: Console) -> None:
    """Print the exact counts of one configuration.

    Raises:
        RequestError: for an unknown method or knob, or a configuration that cannot exist on the model.
    """
    notes: list[str] = []
    document = count_configuration(load_spec(spec_path), method, parse_settings(settings), notes.append)
    for note in notes:
        print(complaint(note), file=sys.stderr)
    if as_json:
        print_json(document)
        return
    console.print(_totals(document))
    console.print(_layers(document))


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Return the values by knob of `knob=value` options; a value is read as YAML.

    Raises:
        RequestError: for an option of another form.
    """
    values = {}
    for setting in settings:
        knob, separator, text = setting.partition("=")
        if not separator or not knob.strip():
            raise RequestError(f"--set {setting}: allowed: knob=value")
        values[knob.strip()] = parse_value(text)
    return values


def _totals(document: CountDocument) -> Table:
    table = plain_table(show_header=False)
    for name in _TOTALS:
        table.add_row(name.replace("_", " "), f"{getattr(document, name):,}")
    table.add_row("share of the base", f"{100 * document.trainable_parameters / document.base_parameters:.4g} %")
    return table


def _layers(document: CountDocument) -> Table:
    table = plain_table()
    for column in ("layer", "shape", "trainable"):
        table.add_column(column, justify="right" if column == "trainable" else "left")
    for layer in document.layers:
        table.add_row(layer.name, " × ".join(map(str, layer.shape)), f"{layer.trainable_parameters:,}")
    return table


def validate(spec_path: Path, overrides: list[str], as_json: bool, console: Console) -> None:
    """Check a spec, its model and its data, and print the search that it describes.

    Raises:
        RequestError: naming field, value and what is allowed.
    """
    document = validate_spec(load_spec(spec_path, overrides), None if as_json else partial(announce, console))
    if as_json:
        print_json(document)
        return
    console.print(f"[bold]{document.search}[/bold] is valid. It would search:")
    console.print(_validation(document))


def _validation(document: ValidateDocument) -> Table:
    budget, rows = document.budget, document.rows
    table = plain_table(show_header=False)
    table.add_row("base", f"{document.base_model} ({document.base_parameters:,} parameters)")
    table.add_row("budget", f"{budget['at_least']:,} to {budget['parameters']:,} trainable parameters")
    table.add_row("methods", ", ".join(document.methods))
    if document.dropped:
        table.add_row("outside", f"{', '.join(document.dropped)}: no configuration within the budget")
    table.add_row("data", f"{rows['train']:,} rows to train, {rows['validation']:,} to validate")
    table.add_row("trainings", f"at most {document.trainings} of {document.max_steps} steps, by {_measure(document)}")
    for note in document.notes:
        table.add_row("note", escape(note))
    return table


def _measure(document: ValidateDocument) -> str:
    return document.metric if document.positive is None else f"{document.metric} of the label {document.positive!r}"
