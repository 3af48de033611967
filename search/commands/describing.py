"""`methods` and `schema`: what may be written in a spec."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from spaces.errors import RequestError
from spaces.methods.base import AnyMethod
from spaces.registry import methods as all_methods
from spaces.spec import SearchSpec


class KnobDescription(BaseModel):
    """One setting of a method."""

    name: str
    default: Any
    description: str
    searched: bool


class MethodDescription(BaseModel):
    """One method."""

    name: str
    summary: str
    source: str
    learning_rate: float
    size_knob: str | None
    knobs: list[KnobDescription]


class MethodsDocument(BaseModel):
    """What `methods --json` prints."""

    methods: list[MethodDescription]


def describe(method: AnyMethod) -> MethodDescription:
    """A method, its settings with their defaults, and which of them a search varies."""
    places = {"targets", "layers"} if method.placed else set()
    searched = {"learning_rate", *places, *method.knobs, *([method.size_knob] if method.size_knob else [])}
    return MethodDescription(
        name=method.name,
        summary=method.summary,
        source=method.source,
        learning_rate=method.learning_rate,
        size_knob=method.size_knob,
        knobs=[
            KnobDescription(
                name=name, default=field.default, description=field.description or "", searched=name in searched
            )
            for name, field in method.configuration.model_fields.items()
        ],
    )


def methods(name: str | None, as_json: bool, console: Console) -> None:
    """Print all methods, or one with its knobs.

    Raises:
        RequestError: when there is no such method.
    """
    if name is not None and name not in all_methods():
        raise RequestError(f"methods {name}: unknown; allowed: {', '.join(all_methods())}")
    described = [describe(method) for method in all_methods().values() if name in (None, method.name)]
    if as_json:
        print(MethodsDocument(methods=described).model_dump_json(indent=2))
        return
    table = Table(box=None, padding=(0, 2))
    columns = ("method", "what it trains", "size knob", "learning rate", "source")
    for column in columns if name is None else ("knob", "default", "searched", "meaning"):
        table.add_column(column)
    for one in described:
        if name is None:
            table.add_row(one.name, one.summary, one.size_knob or "-", f"{one.learning_rate:g}", one.source)
        else:
            for knob in one.knobs:
                table.add_row(knob.name, str(knob.default), "yes" if knob.searched else "", knob.description)
    console.print(table)


def schema() -> None:
    """Print the JSON schema of a spec."""
    print(json.dumps(SearchSpec.model_json_schema(), indent=2))
