"""`count` and `validate`: what a spec means for its model and its data, without training."""

from __future__ import annotations

import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search.documents.commands import CountDocument, CutRows, ValidateDocument
from search.storage import search_folder
from search.terminal import announce, print_json
from spaces.errors import RequestError
from spaces.methods.base.method import Unfit
from spaces.methods.registry import methods as all_methods
from spaces.spec.error_messages import explain
from spaces.spec.hints import meant_method
from spaces.spec.sections import Task
from spaces.spec.spec import load_spec, parse_value

if TYPE_CHECKING:
    from search.driver.preflight import Prepared


def count(spec_path: Path, method: str, settings: list[str], as_json: bool, console: Console) -> None:
    """Print the exact counts of one configuration.

    Raises:
        RequestError: for an unknown method or knob, or a configuration that cannot exist on the model.
    """
    from search.driver.preflight import absolute, inspect
    from trainables.allowed_folders import confined_reading
    from trainables.base_model.weights import read_config
    from trainables.data.splits import load_splits

    spec = absolute(load_spec(spec_path))
    if method not in all_methods():
        hint = meant_method(method, all_methods())
        raise RequestError(f"--method {method}: unknown{hint}; allowed: {', '.join(all_methods())}")
    known = all_methods()[method]
    values = {}
    for setting in settings:
        knob, separator, text = setting.partition("=")
        if not separator or not knob.strip():
            raise RequestError(f"--set {setting}: allowed: knob=value")
        values[knob.strip()] = parse_value(text)
    try:
        configuration = known.configuration(**values)
    except ValidationError as error:
        raise RequestError(f"--set {explain(error, known.configuration)}") from None
    labels, note = 2, None
    with confined_reading(spec):
        read_config(spec.model)
        if spec.model.task not in (Task.CAUSAL_LM, Task.REGRESSION):
            try:
                labels = len(load_splits(spec).labels)
            except RequestError as error:
                note = f"paretune: {error}; the head is counted for {labels} classes"
        inventory = inspect(spec, labels)
    try:
        counted = known.count(configuration, inventory)
    except Unfit as error:
        raise RequestError(f"--method {method}: {error}") from None
    if note is not None:
        print(note, file=sys.stderr)
    fields = dataclasses.asdict(counted)
    if spec.budget.count_head:
        fields["trainable_parameters"] += counted.head_parameters
        fields["stored_parameters"] += counted.head_parameters
    document = CountDocument.model_validate(
        {"method": method, "config": configuration.model_dump(mode="json"), **fields}, extra="ignore"
    )
    if as_json:
        print_json(document)
        return
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name in ("trainable_parameters", "stored_parameters", "adapter_bytes", "head_parameters", "base_parameters"):
        table.add_row(name.replace("_", " "), f"{getattr(document, name):,}")
    table.add_row("share of the base", f"{100 * document.trainable_parameters / document.base_parameters:.4g} %")
    console.print(table)
    rows = Table(box=None, padding=(0, 2))
    for column in ("layer", "shape", "trainable"):
        rows.add_column(column, justify="right" if column == "trainable" else "left")
    for layer in document.layers:
        rows.add_row(layer.name, " × ".join(map(str, layer.shape)), f"{layer.trainable_parameters:,}")
    console.print(rows)


def validate(spec_path: Path, overrides: list[str], as_json: bool, console: Console) -> None:
    """Check a spec, its model and its data, and print what it would search."""
    from search.driver.preflight import absolute, prepare

    spec = absolute(load_spec(spec_path, overrides))
    search_folder.check_name(spec.name)
    prepared = prepare(spec, None if as_json else partial(announce, console))
    budget, confirm = prepared.budget, spec.confirm
    document = ValidateDocument(
        search=spec.name,
        base_model=spec.model.path,
        base_parameters=prepared.inventory.base_parameters,
        head_parameters=prepared.inventory.head_parameters,
        budget={"parameters": budget.parameters, "at_least": budget.at_least, "bytes": budget.bytes},
        methods=list(prepared.space.names),
        dropped=[name for name in spec.methods if name not in prepared.space.names],
        labels=list(prepared.labels),
        rows={"train": len(prepared.train), "validation": len(prepared.validation)},
        cut=_cut(prepared),
        notes=list(prepared.notes),
        trials=spec.search.trials,
        trainings=1 + spec.search.trials + confirm.top * confirm.seeds,
        max_steps=spec.training.max_steps,
        metric=spec.metric.name,
        positive=prepared.spec.objective.positive,
    )
    if as_json:
        print_json(document)
        return
    console.print(f"[bold]{document.search}[/bold] is valid. It would search:")
    table = Table(box=None, padding=(0, 2), show_header=False)
    table.add_row("base", f"{document.base_model} ({document.base_parameters:,} parameters)")
    table.add_row("budget", f"{budget.at_least:,} to {budget.parameters:,} trainable parameters")
    table.add_row("methods", ", ".join(document.methods))
    if document.dropped:
        table.add_row("outside", f"{', '.join(document.dropped)}: no configuration within the budget")
    table.add_row("data", f"{document.rows['train']:,} rows to train, {document.rows['validation']:,} to validate")
    table.add_row("trainings", f"at most {document.trainings} of {document.max_steps} steps, by {_measure(document)}")
    for note in document.notes:
        table.add_row("note", escape(note))
    console.print(table)


def _measure(document: ValidateDocument) -> str:
    return document.metric if document.positive is None else f"{document.metric} of the label {document.positive!r}"


def _cut(prepared: Prepared) -> dict[str, CutRows]:
    """Rows that are cut, by split; none of images, which have no tokens."""
    task = prepared.spec.model.task
    if task is Task.IMAGE_CLASSIFICATION:
        return {}
    return {
        name: CutRows(
            rows=split.cut.rows,
            share=split.cut.rows / len(split),
            responses=split.cut.responses if task is Task.CAUSAL_LM else None,
            longest=split.cut.longest,
        )
        for name, split in (("train", prepared.train), ("validation", prepared.validation))
    }
