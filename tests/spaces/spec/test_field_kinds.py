"""The words for the values of a field."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from spaces.spec.field_kinds import kind
from spaces.spec.sections import Amount, Size


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    one: int = 1


class Fields(BaseModel):
    text: str
    whole: Annotated[int, Field(ge=1, lt=9)]
    number: Annotated[float, Field(gt=0)]
    flag: bool
    nothing: int | None
    literal: Literal["fixed"]
    literals: Literal["a", "b"]
    enum: Colour
    part: Part
    parts: list[Part]
    mapping: dict[str, int]
    amount: Amount
    size: Size


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("text", "text"),
        ("whole", "whole number ≥ 1 and < 9"),
        ("number", "number > 0"),
        ("flag", "true or false"),
        ("nothing", "whole number or null"),
        ("literal", "`fixed`"),
        ("literals", "`a`, `b`"),
        ("enum", "`red`, `blue`"),
        ("part", "mapping"),
        ("parts", "list of mapping"),
        ("mapping", "mapping"),
        ("amount", "whole number ≥ 1 or percentage"),
        ("size", "size with a unit or whole number ≥ 1"),
    ],
)
def test_a_field_is_said_in_words(field: str, words: str) -> None:
    schema = Fields.model_json_schema()
    assert kind(schema["properties"][field], schema["$defs"]) == words
