"""Records of trials: the steps of rungs, and what a record does not take."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from spaces.trials.records import Progress, Rung, TrialPlan, TrialResult, evaluation_steps, rung_steps


@pytest.mark.parametrize(
    ("max_steps", "rungs", "steps"),
    [
        (300, 3, (33, 100, 300)),
        (300, 1, (300,)),
        (9, 3, (1, 3, 9)),
        (9, 8, (1, 3, 9)),
        (1, 3, (1,)),
        (2, 2, (1, 2)),
        (100, 4, (4, 11, 33, 100)),
    ],
)
def test_rungs_are_at_three_times_the_steps_of_the_one_before(
    max_steps: int, rungs: int, steps: tuple[int, ...]
) -> None:
    assert rung_steps(max_steps, rungs) == steps


@given(st.integers(1, 10**9), st.integers(1, 8))
def test_rungs_ascend_to_the_last_step(max_steps: int, rungs: int) -> None:
    steps = rung_steps(max_steps, rungs)
    assert steps[-1] == max_steps
    assert steps[0] >= 1
    assert list(steps) == sorted(set(steps))
    assert len(steps) <= rungs
    assert all(abs(later - 3 * earlier) <= 3 for earlier, later in pairwise(steps) if earlier > 1)


@given(st.integers(1, 500), st.integers(1, 5), st.none() | st.integers(1, 600))
def test_evaluations_are_the_rungs_and_every_so_many_steps(max_steps: int, rungs: int, interval: int | None) -> None:
    expected = {
        step
        for step in range(1, max_steps + 1)
        if step in rung_steps(max_steps, rungs) or (interval is not None and step % interval == 0)
    }
    assert evaluation_steps(max_steps, rungs, interval) == tuple(sorted(expected))


def test_the_settings_of_a_plan_are_those_of_its_method_and_of_its_training() -> None:
    values = {"trial": "0", "kind": "trial", "method": "lora", "config": {"rank": 2}, "seed": 0, **COUNTS}
    plan = TrialPlan.model_validate({**values, "training": {"optim": "adafactor"}})
    assert plan.settings == {"rank": 2, "training.optim": "adafactor"}
    assert TrialPlan.model_validate(values).settings == {"rank": 2}


COUNTS = {
    "trainable_parameters": 1,
    "stored_parameters": 1,
    "adapter_bytes": 4,
    "head_parameters": 0,
    "peak_updated_parameters": 1,
}
RECORDS = [
    (Rung, {"step": 1, "quality": 0.5}),
    (Progress, {"step": 1, "loss": 0.5}),
    (TrialPlan, {"trial": "0000", "kind": "trial", "method": "lora", "config": {}, "seed": 0, **COUNTS}),
    (TrialResult, {"state": "finished"}),
]


@pytest.mark.parametrize(("model", "values"), RECORDS)
def test_a_record_survives_json_and_never_changes(model: type[BaseModel], values: dict[str, Any]) -> None:
    record = model(**values)
    assert model.model_validate_json(record.model_dump_json()) == record
    with pytest.raises(ValidationError, match="frozen"):
        setattr(record, next(iter(values)), None)
    with pytest.raises(ValidationError, match="Extra inputs"):
        model(**values, further=1)
