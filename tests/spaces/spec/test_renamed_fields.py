"""Specs of earlier versions are read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, parse_knob
from spaces.methods.registry import configuration
from spaces.spec.spec import dump_spec, parse_spec

SPEC: dict[str, Any] = {
    "name": "old",
    "model": {"path": "model"},
    "data": {"train": "train.csv"},
    "budget": {"parameters": 1000},
}


def read(**training: Any) -> str:
    return parse_spec({**SPEC, "training": training}).training.precision


@pytest.mark.parametrize(
    ("before", "now"), [(True, "bf16-mixed"), (False, "float32"), ("auto", "auto")], ids=["on", "off", "auto"]
)
def test_bf16_became_precision(before: object, now: str) -> None:
    assert read(bf16=before, max_steps=7) == now
    written = yaml.safe_load(dump_spec(parse_spec({**SPEC, "training": {"bf16": before}})))
    assert "bf16" not in written["training"]
    assert parse_spec(written).training.precision == now


@pytest.mark.parametrize(
    ("training", "line"),
    [
        ({"bf16": "half"}, "training.bf16 = half: became training.precision; allowed there: auto, float32"),
        ({"bf16": True, "precision": "float32"}, "training.bf16 = True: beside training.precision"),
    ],
)
def test_a_field_that_never_was_is_refused(training: dict[str, Any], line: str) -> None:
    with pytest.raises(RequestError, match=line):
        read(**training)


def test_other_values_are_left_alone() -> None:
    with pytest.raises(RequestError, match="training"):
        parse_spec({**SPEC, "training": ["bf16"]})


def test_numbers_of_last_blocks_are_still_choices_in_a_spec_of_that_time() -> None:
    knobs = {"lora": {"layers": [1, 2, "all"]}, "dst": {"layers": [1, 2]}, "full": None}
    old = parse_spec({**SPEC, "training": {"bf16": "auto"}, "methods": knobs})
    new = parse_spec({**SPEC, "methods": knobs})
    assert [parse_knob(old.methods[name]["layers"]) for name in ("lora", "dst")] == [
        Choice((1, 2, "all")),
        Choice((1, 2)),
    ]
    assert [parse_knob(new.methods[name]["layers"]) for name in ("lora", "dst")] == [
        Choice((1, 2, "all")),
        Choice(("[1, 2]",)),
    ]
    assert [configuration("dst", {"layers": 1.0}).layers, configuration("dst", {"layers": "[1, 2]"}).layers] == [
        1,
        (1, 2),
    ]
    for spec in (old, new):
        assert parse_spec(yaml.safe_load(dump_spec(spec))) == spec
