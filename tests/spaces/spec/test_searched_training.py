"""Fields of the training that a search varies: how they are written, what is refused, and the training of one trial."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, Range
from spaces.spec.searched_training import SEARCHED, SearchedTraining, settings_of, usual
from spaces.spec.sections import TrainingSection
from spaces.spec.spec import dump_spec, parse_spec

SMALL: dict[str, Any] = {"name": "a", "model": {"path": "m"}, "data": {"train": "t.csv"}, "budget": {"parameters": 9}}
VARIED = {
    "weight_decay": {"low": 0, "high": 1},
    "per_device_train_batch_size": {"low": 4, "high": 16, "log": True},
    "optim": ["adafactor", "adamw_torch"],
    "warmup_steps": [0.1, 0.2],
    "label_smoothing_factor": {"low": 0, "high": 0.2},
}


def training(**fields: Any) -> SearchedTraining:
    return parse_spec({**SMALL, "training": fields}).training


def refusal(**fields: Any) -> str:
    with pytest.raises(RequestError) as raised:
        training(**fields)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_ranges_and_lists_become_knobs_and_are_written_again() -> None:
    section = training(**VARIED)
    assert section.knobs == {
        "weight_decay": Range(0.0, 1.0),
        "per_device_train_batch_size": Range(4, 16, log=True),
        "optim": Choice(("adafactor", "adamw_torch")),
        "warmup_steps": Choice((0.1, 0.2)),
        "label_smoothing_factor": Range(0.0, 0.2),
    }
    spec = parse_spec({**SMALL, "training": VARIED})
    written = yaml.safe_load(dump_spec(spec))
    assert {name: written["training"][name] for name in VARIED} == VARIED
    assert parse_spec(written) == spec
    assert spec != parse_spec(SMALL)
    assert pickle.loads(pickle.dumps(spec)).training.knobs == section.knobs


def test_the_usual_values_are_the_defaults_or_the_nearest_ones() -> None:
    section = training(**VARIED)
    assert (section.weight_decay, section.per_device_train_batch_size) == (0.01, 16)
    assert (section.optim, section.warmup_steps) == ("adamw_torch", 0.1)
    assert isinstance(section.per_device_train_batch_size, int)


@given(low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_usual_value_is_within_its_range(low: float, high: float) -> None:
    knob = Range(min(low, high), max(low, high))
    found = usual("weight_decay", knob)
    assert isinstance(found, float)
    assert knob.low <= found <= knob.high
    assert found == 0.01 or not knob.low <= 0.01 <= knob.high


def test_the_training_of_a_trial_has_its_values_and_the_usual_ones() -> None:
    section = training(max_steps=9, **VARIED)
    chosen = section.chosen({"weight_decay": 0.5, "optim": "adafactor"})
    assert type(chosen) is TrainingSection
    assert (chosen.weight_decay, chosen.optim, chosen.per_device_train_batch_size) == (0.5, "adafactor", 16)
    assert chosen.max_steps == 9
    fixed = section.fixed({"weight_decay": 0.5})
    assert fixed.knobs == {}
    assert fixed.weight_decay == 0.5


def test_the_values_that_a_field_may_have() -> None:
    section = training(**VARIED)
    assert section.values_of("optim") == ("adafactor", "adamw_torch")
    assert section.values_of("weight_decay") == (0.0, 1.0)
    assert section.values_of("max_grad_norm") == (1.0,)


def test_settings_bear_the_name_of_the_section() -> None:
    assert settings_of({"optim": "adafactor"}) == {"training.optim": "adafactor"}


def test_every_varied_field_exists() -> None:
    assert set(SEARCHED) <= set(TrainingSection.model_fields)


@pytest.mark.parametrize("name", sorted(set(TrainingSection.model_fields) - set(SEARCHED)))
def test_other_fields_are_the_same_in_every_trial(name: str) -> None:
    for value in ([1, 2], {"low": 1, "high": 2}):
        said = refusal(**{name: value})
        assert said.startswith(f"training.{name} = {value}: is the same in every trial; allowed: one value.")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"weight_decay": {"low": 0.2, "high": 0.1}},
            "training.weight_decay: {'low': 0.2, 'high': 0.1} is not a range",
        ),
        ({"weight_decay": {"low": 0.2}}, "allowed: {low: number, high: number"),
        ({"weight_decay": {"low": 0, "high": 1, "log": True}}, "allowed with log: low above 0"),
        (
            {"weight_decay": {"low": -1, "high": 1}},
            "training.weight_decay = -1.0: Input should be greater than or equal",
        ),
        ({"weight_decay": []}, "training.weight_decay: [] is not a knob"),
        ({"optim": {"low": 1, "high": 2}}, "allowed: a name, or a list of names"),
        ({"optim": ["adamw_torch", "sgd"]}, "training.optim = 'sgd': Input should be 'adamw_torch', 'adamw_8bit' or"),
        (
            {"lr_scheduler_type": ["linear", "greedy"]},
            "training.lr_scheduler_type = 'greedy': Input should be 'linear'",
        ),
        ({"per_device_train_batch_size": {"low": 1.5, "high": 4}}, "holds fractions; allowed: whole numbers"),
        ({"per_device_train_batch_size": [0, 4]}, "training.per_device_train_batch_size = 0: Input should be greater"),
        ({"warmup_steps": {"low": 0.5, "high": 4}}, "below 1 a fraction of max_steps, from 1 on a number of steps"),
        (
            {"per_device_train_batch_size": [4, 8], "num_train_epochs": 2},
            "training.per_device_train_batch_size = [4, 8]: with num_train_epochs trials would have unlike numbers",
        ),
    ],
)
def test_wrong_ranges_are_refused_in_one_line(fields: dict[str, Any], said: str) -> None:
    assert said in refusal(**fields)
