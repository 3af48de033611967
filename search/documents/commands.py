"""The JSON documents of `count`, `validate` and `methods`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from search.documents import command_examples
from trainables.capabilities.known import CapabilitiesDescription


class LayerRow(BaseModel):
    """One adapted weight."""

    name: str
    shape: list[int]
    trainable_parameters: int


class CountDocument(BaseModel):
    """The document of `count --json`: the exact size of one configuration."""

    model_config = ConfigDict(json_schema_extra={"examples": [command_examples.COUNT]})

    method: str
    config: dict[str, Any]
    trainable_parameters: int
    stored_parameters: int
    adapter_bytes: int
    head_parameters: int
    base_parameters: int
    layers: list[LayerRow]


class CutRows(BaseModel):
    """Examples of one split that have more tokens than `data.max_length` and are cut.

    `responses`: the number of them that lose the end of their response; null for tasks without responses.
    """

    rows: int
    share: float
    responses: int | None
    longest: int


class ValidateDocument(BaseModel):
    """The document of `validate --json`: the search that a spec describes."""

    model_config = ConfigDict(json_schema_extra={"examples": [command_examples.VALIDATION]})

    search: str
    base_model: str
    base_parameters: int
    head_parameters: int
    budget: dict[str, int | None]
    methods: list[str]
    dropped: list[str]
    labels: list[str]
    rows: dict[str, int]
    cut: dict[str, CutRows]
    notes: list[str]
    trials: int
    trainings: int
    max_steps: int
    metric: str
    positive: str | None = Field(default=None, description="The label whose F1 is the metric f1.")


class KnobDescription(BaseModel):
    """One setting of a method."""

    name: str
    default: Any
    description: str
    takes: str = Field(description="The values that it may have.")
    searched: bool
    drawn: str = Field(description="The values that a search tries unless its spec narrows them; empty: the default.")


class MethodDescription(BaseModel):
    """One method."""

    name: str
    summary: str
    source: str
    searched_by_default: bool = Field(description="A search that names no methods tries it.")
    learning_rate: float
    size_knob: str | None
    knobs: list[KnobDescription]


class ProbedMethod(MethodDescription):
    """One method and its capabilities."""

    capabilities: CapabilitiesDescription | None = Field(
        description="Null for a method from another package, until `methods --probe` has tried it."
    )
    tried_with: dict[str, str] = Field(description="Versions of the packages with which its capabilities were found.")


class MethodsDocument(BaseModel):
    """The document of `methods --json`."""

    model_config = ConfigDict(json_schema_extra={"examples": [command_examples.METHODS]})

    methods: list[ProbedMethod]
