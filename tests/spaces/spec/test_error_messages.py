"""Errors of pydantic in one line: field, value, allowed values, and the other fields."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spaces.methods.lora import LoraConfiguration
from spaces.spec.error_messages import explain


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=1, ge=1)
    kind: int | str = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    inner: Inner = Inner()
    counts: dict[str, int] = {}
    many: tuple[int, ...] = ()


def explained(values: Any, model: type[BaseModel] = Outer) -> str:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(values)
    return explain(raised.value, model)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "name: missing"),
        ({"name": 3}, "name = 3: Input should be a valid string"),
        ({"name": "a", "inner": 3}, "inner = 3: Input should be a mapping of fields"),
        ({"name": "a", "inner": {"steps": 0}}, "inner.steps = 0: Input should be greater than or equal to 1"),
        ({"name": "a", "counts": 3}, "counts = 3: Input should be a mapping"),
        (
            {"name": "a", "inner": {"kind": None}},
            "inner.kind = None: Input should be a valid integer or a valid string",
        ),
        (
            {"name": "a", "inner": {"step": 1}},
            "inner.step: unknown field (did you mean inner.steps?); allowed: kind, steps",
        ),
    ],
)
def test_the_first_problem_is_one_line(values: Any, line: str) -> None:
    assert explained(values) == line


def test_an_unknown_field_comes_first_and_the_others_are_named() -> None:
    line = explained({"nam": "a", "inner": {"steps": 0}, "many": ["x", "y"]})
    assert line == (
        "nam: unknown field (did you mean name?); allowed: counts, inner, many, name "
        "(and 4 more: name, inner.steps, many.0, many.1)"
    )


def test_many_other_fields_are_cut() -> None:
    line = explained({"many": ["x"] * 9, "name": "a"})
    assert line.startswith("many.0 = 'x': ")
    assert line.endswith("(and 8 more: many.1, many.2, many.3, many.4, many.5, …)")


def test_an_unknown_knob_of_a_method_has_a_hint_of_its_own() -> None:
    line = explained({"learning_rate": 1e-3, "lora_alpha": 16}, LoraConfiguration)
    assert line.startswith("lora_alpha: unknown field (did you mean scaling?")
