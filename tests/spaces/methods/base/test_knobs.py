"""Knobs as written in a spec, and the suggestions that they ask for."""

from __future__ import annotations

import doctest
import math
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.methods.base import knobs
from spaces.methods.base.knobs import Choice, Knob, Range, extremes, parse_knob

NUMBERS = st.integers(-(2**62), 2**62) | st.floats(-1e18, 1e18)


@pytest.mark.parametrize(
    ("written", "knob"),
    [
        (4, Choice((4,))),
        ("all", Choice(("all",))),
        ("1e-4", Choice((1e-4,))),
        (True, Choice((True,))),
        ([1, "2e-3", "whole"], Choice((1, 2e-3, "whole"))),
        ((1, 2), Choice((1, 2))),
        ({"low": 1, "high": 8}, Range(1, 8)),
        ({"low": "1e-4", "high": "1e-2", "log": True}, Range(1e-4, 1e-2, log=True)),
        ({"low": 3, "high": 3}, Range(3, 3)),
    ],
)
def test_values_choices_and_ranges_are_read(written: Any, knob: Knob) -> None:
    assert parse_knob(written) == knob


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], "not a knob"),
        (None, "not a knob"),
        ([["1"]], "not a knob"),
        (math.inf, "not a knob"),
        (math.nan, "not a knob"),
        (2**63, "not a knob"),
        ({}, "not a range"),
        ({"low": 1}, "not a range"),
        ({"high": 1}, "not a range"),
        ({"low": 1, "high": 2, "step": 1}, "not a range"),
        ({"low": 2, "high": 1}, "low at most high"),
        ({"low": "small", "high": 1}, "low at most high"),
        ({"low": 1, "high": math.inf}, "low at most high"),
        ({"low": 1, "high": 2, "log": "yes"}, "log: true or false"),
        ({"low": 0, "high": 2, "log": True}, "low above 0"),
    ],
)
def test_anything_else_is_refused(written: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_knob(written)


@given(NUMBERS, NUMBERS)
def test_a_range_has_its_ends_and_suggests_within_them(one: float, other: float) -> None:
    low, high = sorted((one, other))
    knob = parse_knob({"low": low, "high": high})
    assert extremes(knob) == (low, high)
    if isinstance(low, int) and isinstance(high, int) and high < 2**53 and low > -(2**53):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(0)).ask()
        value = knob.suggest(trial, "knob")
        assert isinstance(value, int)
        assert low <= value <= high


def test_a_logarithmic_range_and_a_choice_are_told_to_optuna() -> None:
    trial = optuna.create_study().ask()
    assert 1 <= float(Range(1, 64, log=True).suggest(trial, "rank")) <= 64
    assert 1e-4 <= float(Range(1e-4, 1.0, log=True).suggest(trial, "rate")) <= 1
    assert Choice(("a", "b")).suggest(trial, "side") in ("a", "b")
    assert trial.distributions == {
        "rank": optuna.distributions.IntDistribution(1, 64, log=True),
        "rate": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        "side": optuna.distributions.CategoricalDistribution(("a", "b")),
    }


def test_a_single_value_is_not_asked_for() -> None:
    trial = optuna.create_study().ask()
    assert Choice((7,)).suggest(trial, "knob") == 7
    assert trial.params == {}
    assert extremes(Choice((3, 1, 2))) == (3, 1, 2)


def test_the_example_is_true() -> None:
    found = doctest.testmod(knobs)
    assert (found.attempted, found.failed) == (1, 0)
