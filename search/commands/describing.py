"""`methods` and `schema`: what may be written in a spec."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from search.commands import examples
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


class CapabilitiesDescription(BaseModel):
    """What a method was found to do when it was tried on tiny models."""

    model_config = ConfigDict(from_attributes=True)

    merge: bool = Field(description="Into plain weights that compute the same.")
    several_adapters: bool = Field(description="Several on one base, switched.")
    quantised_base: Literal["yes", "no", "unknown"] = Field(
        description="Trains beside packed weights; unknown: PEFT may have layers for them that need bitsandbytes."
    )
    stock: str = Field(description="Settings with an equal adapter of PEFT's own: export --format stock.")
    lora_conversion: bool = Field(description="To LoRA, equal at full rank: export --format lora.")
    conv1d: bool = Field(description="On layers that store their weight transposed, as those of GPT-2.")


class ProbedMethod(MethodDescription):
    """One method and what it can do."""

    capabilities: CapabilitiesDescription


class MethodsDocument(BaseModel):
    """What `methods --json` prints."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.METHODS]})

    methods: list[ProbedMethod]


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
    """Print all methods, or one with its knobs, and what they can do, which is tried out.

    Raises:
        RequestError: when there is no such method.
    """
    if name is not None and name not in all_methods():
        raise RequestError(f"methods {name}: unknown; allowed: {', '.join(all_methods())}")
    probed = _probed([method for method in all_methods().values() if name in (None, method.name)])
    if as_json:
        print(MethodsDocument(methods=probed).model_dump_json(indent=2))
        return
    if name is not None:
        console.print(_knobs(probed[0]))
        console.print()
    else:
        console.print(_table(probed))
        console.print("\nWhat they can do, tried on tiny models:\n")
    console.print(_matrix(probed))


def _probed(chosen: list[AnyMethod]) -> list[ProbedMethod]:
    progress = Progress(console=Console(stderr=True), transient=True)
    with progress:
        task = progress.add_task("trying what they can do", total=len(chosen))

        from trainables.capabilities import probe

        described = []
        for method in chosen:
            found = CapabilitiesDescription.model_validate(probe(method.name))
            described.append(ProbedMethod(**describe(method).model_dump(), capabilities=found))
            progress.advance(task)
    return described


def _table(probed: list[ProbedMethod]) -> Table:
    table = _columns("method", "what it trains", "size knob", "learning rate", "source")
    for one in probed:
        table.add_row(one.name, one.summary, one.size_knob or "-", f"{one.learning_rate:g}", one.source)
    return table


def _knobs(probed: ProbedMethod) -> Table:
    table = _columns("knob", "default", "searched", "meaning")
    for knob in probed.knobs:
        table.add_row(knob.name, str(knob.default), "yes" if knob.searched else "", knob.description)
    return table


def _matrix(probed: list[ProbedMethod]) -> Table:
    fields = CapabilitiesDescription.model_fields
    table = _columns("method", *(field.replace("_", " ") for field in fields))
    for one in probed:
        values = [getattr(one.capabilities, field) for field in fields]
        table.add_row(one.name, *(("yes" if value else "no") if isinstance(value, bool) else value for value in values))
    return table


def _columns(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2))
    for name in names:
        table.add_column(name)
    return table


def schema() -> None:
    """Print the JSON schema of a spec."""
    print(json.dumps(SearchSpec.model_json_schema(), indent=2))
