"""`methods` and `schema`: what may be written in a spec, printed."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from search.documents.commands import ProbedMethod
from search.method_descriptions import chosen
from search.method_descriptions import methods as describe_methods
from search.terminal import print_json
from tracking.reports.table_layout import plain_table
from trainables.capabilities.known import CapabilitiesDescription, installed_versions, remember, tried


def methods(name: str | None, probe: bool, as_json: bool, console: Console) -> None:
    """Print all methods, or one with its knobs, and their capabilities; `probe` tries these anew.

    Raises:
        RequestError: when there is no such method.
    """
    if probe:
        _try([method.name for method in chosen(name)])
    document = describe_methods(name)
    described = document.methods
    if as_json:
        print_json(document)
        return
    if name is not None:
        console.print(_knobs(described[0]))
        console.print()
    else:
        console.print(_table(described))
        console.print("\nWhat they can do, tried on tiny models:\n")
    console.print(_matrix(described))
    for note in _notes(described):
        console.print(note, highlight=False, soft_wrap=True)


def _try(names: list[str]) -> None:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("trying what they can do", total=len(names))
        found = {}
        for name in names:
            found[name] = tried(name)
            progress.advance(task)
    remember(found)


def _notes(described: list[ProbedMethod]) -> Iterator[str]:
    """Name the methods whose capabilities are not known for the installed versions."""
    if untried := [one.name for one in described if one.capabilities is None]:
        yield f"Not tried yet: {', '.join(untried)}; `paretune methods --probe` tries."
    installed = installed_versions()
    others = {
        f"{package} {version}, installed {installed[package]}"
        for one in described
        for package, version in one.tried_with.items()
        if version != installed[package]
    }
    if others:
        yield f"Tried with {'; '.join(sorted(others))}: `paretune methods --probe` tries anew."


def _table(described: list[ProbedMethod]) -> Table:
    table = _columns("method", "default", "what it trains", "size knob", "learning rate", "source")
    for one in described:
        default = "yes" if one.searched_by_default else ""
        table.add_row(one.name, default, one.summary, one.size_knob or "-", f"{one.learning_rate:g}", one.source)
    return table


def _knobs(described: ProbedMethod) -> Table:
    default = ", searched by default" if described.searched_by_default else ""
    table = _columns("knob", "default", "takes", "searched", "meaning")
    table.title = f"{described.name}: {described.summary}{default} ({described.source})"
    table.title_justify, table.title_style = "left", "bold"
    for knob in described.knobs:
        table.add_row(knob.name, str(knob.default), knob.takes, knob.drawn, knob.description)
    return table


def _matrix(described: list[ProbedMethod]) -> Table:
    fields = CapabilitiesDescription.model_fields
    table = _columns("method", *(field.replace("_", " ") for field in fields))
    for one in described:
        values = [getattr(one.capabilities, field, "?") for field in fields]
        table.add_row(one.name, *(("yes" if value else "no") if isinstance(value, bool) else value for value in values))
    return table


def _columns(*names: str) -> Table:
    table = plain_table()
    for name in names:
        table.add_column(name)
    return table


def schema() -> None:
    """Print the JSON schema of a spec."""
    from spaces.spec.schema import spec_schema

    print(json.dumps(spec_schema(), indent=2))
