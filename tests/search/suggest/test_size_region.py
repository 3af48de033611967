"""The trials around a size, and how samplers compare them."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from search.suggest.size_region import FEWEST, MOST, RegionTrial, nearest, regional_study
from spaces.pareto.point import SIZE_REGION
from spaces.trials.records import State


@given(
    sizes=st.lists(st.one_of(st.integers(1, 10**6), st.just(1_000)), max_size=60).map(sorted),
    at=st.floats(1, 10**6),
)
def test_a_region_is_what_is_near_or_else_the_nearest(sizes: list[int], at: float) -> None:
    logarithms = [math.log10(size) for size in sizes]
    far = [abs(size - math.log10(at)) for size in logarithms]
    found = nearest(logarithms, math.log10(at))
    near = [position for position, distance in enumerate(far) if distance <= SIZE_REGION]
    assert set(near) <= set(found)
    assert len(found) == min(len(sizes), max(FEWEST, len(near)))
    left = [distance for position, distance in enumerate(far) if position not in found]
    assert max((far[position] for position in found), default=0) <= min(left, default=math.inf)


def test_a_region_has_an_end() -> None:
    assert len(nearest([3.0] * (MOST + 50), 3.0)) == MOST
    assert nearest([], 3.0) == range(0)


@settings(max_examples=20)
@given(seed=st.integers(0, 100))
def test_stopped_trials_are_compared_at_equal_steps_and_failed_ones_come_last(seed: int) -> None:
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}

    def tried(state: State, *rungs: tuple[int, float], quality: float | None = None) -> RegionTrial:
        return RegionTrial({"x": 0.5}, space, 1, state, quality, dict(rungs))

    order = [
        tried("finished", (3, 0.5), (9, 0.6), quality=0.6),
        tried("stopped", (3, 0.9), (6, 0.5)),
        tried("stopped", (3, 0.7)),
        tried("stopped", (3, 0.6)),
        tried("failed"),
    ]
    shuffled = list(np.random.default_rng(seed).permutation(len(order)))
    study = regional_study([order[number] for number in shuffled], "max", optuna.samplers.RandomSampler())
    for best in range(1, len(order) + 1):
        below, _ = optuna.samplers._tpe.sampler._split_trials(study, study.trials, best)
        assert sorted(shuffled[trial.number] for trial in below) == list(range(best))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_running_trial_has_no_quality(mode: str) -> None:
    one = RegionTrial({}, {}, 1)
    study = regional_study([one], mode, optuna.samplers.RandomSampler())  # type: ignore[arg-type]
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
    assert study.direction.name == ("MAXIMIZE" if mode == "max" else "MINIMIZE")
