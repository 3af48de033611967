"""Places of an adapter that a spec names itself: layers by name or pattern, and blocks by number."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, model_validator

_LONGEST = 500
_FORMS = "{names: [NAME, …]}, {regex: PATTERN}"

Name = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
BlockNumbers = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]


class LayerNames(BaseModel):
    """Layers whose full name is one of `names`, or ends with a point and one of them, as PEFT's `target_modules`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[Name, ...] = Field(min_length=1)

    def matches(self, layer: str) -> bool:
        """Return whether the layer called `layer` is meant."""
        return any(layer == name or layer.endswith(f".{name}") for name in self.names)

    def __str__(self) -> str:
        return f"{{names: [{', '.join(self.names)}]}}"


class LayerPattern(BaseModel):
    """Layers whose whole full name matches `regex`, as a text in PEFT's `target_modules`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    regex: Name

    def matches(self, layer: str) -> bool:
        """Return whether the layer called `layer` is meant."""
        return re.fullmatch(self.regex, layer) is not None

    def __str__(self) -> str:
        return f"{{regex: {self.regex}}}"


class BlockRange(BaseModel):
    """The blocks from `first` to `last`, both included, numbered from 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: NonNegativeInt
    last: NonNegativeInt

    @model_validator(mode="after")
    def _ascending(self) -> BlockRange:
        if self.first > self.last:
            raise ValueError(f"layers = {self}: allowed: first at most last")
        return self

    def __str__(self) -> str:
        return f"{{first: {self.first}, last: {self.last}}}"


NamedLayers = LayerNames | LayerPattern


def parse_targets(value: Any) -> Any:
    """Return named layers for a mapping, or for the text that a knob has in its place; other values as they are.

    Raises:
        ValueError: for another mapping, and for a pattern that is none.
    """
    value = from_text(value)
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"names"} and isinstance(value["names"], list | tuple):
        names = tuple(value["names"])
        if names and all(isinstance(name, str) and 0 < len(name) <= _LONGEST for name in names):
            return LayerNames(names=names)
    if set(value) == {"regex"} and isinstance(value["regex"], str) and 0 < len(value["regex"]) <= _LONGEST:
        try:
            re.compile(value["regex"])
        except re.error as error:
            raise ValueError(f"no regular expression ({error}); allowed: a pattern of Python's re") from None
        return LayerPattern(regex=value["regex"])
    raise ValueError(f"not a choice of layers; allowed: {_FORMS}")


def from_text(value: Any) -> Any:
    """Return the mapping or list that `as_text` wrote; other values as they are."""
    if not (isinstance(value, str) and value.startswith(("{", "["))):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def as_text(value: Any) -> Any:
    """Return a place as a text, which samplers can choose among; other values as they are."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list | tuple) else value


def is_place(value: Any) -> bool:
    """Return whether a value of a knob is written as a place, by names, pattern, numbers or range, right or wrong."""
    if isinstance(value, Mapping):
        return bool(value) and not {"low", "high", "log"} & set(value)
    return isinstance(value, list | tuple) and bool(value) and all(type(one) is int for one in value)


ParsedTargets = BeforeValidator(parse_targets)
ParsedLayers = BeforeValidator(from_text)
