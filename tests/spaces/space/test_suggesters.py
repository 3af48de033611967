"""Suggesters: given values where a knob allows them, and random ones of the right distribution."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from spaces.space.suggesters import FixedSuggester, RandomSuggester

DRAWS = 3_000


def test_given_values_are_taken_where_a_knob_allows_them() -> None:
    fixed = FixedSuggester({"targets": "vo", "rank": 3, "share": 0.5, "layers": "last", "unused": 1})
    assert fixed.suggest_categorical("targets", ("qv", "vo")) == "vo"
    assert fixed.suggest_int("rank", 1, 8) == 3
    assert fixed.suggest_float("share", 0.1, 1.0, log=True) == 0.5
    assert fixed.used == {"targets": "vo", "rank": 3, "share": 0.5}


def test_otherwise_it_is_the_first_choice_or_the_upper_end() -> None:
    fixed = FixedSuggester({"targets": "mlp", "rank": 9, "share": 0.01, "layers": "last"})
    assert fixed.suggest_categorical("targets", ("qv", "vo")) == "qv"
    assert fixed.suggest_int("rank", 1, 8) == 8
    assert fixed.suggest_float("share", 0.1, 1.0) == 1.0
    assert fixed.suggest_int("layers", 1, 6) == 6
    assert fixed.suggest_float("absent", 0.0, 2.0) == 2.0
    assert fixed.used == {"targets": "qv", "rank": 8, "share": 1.0, "layers": 6, "absent": 2.0}


def drawn(seed: int = 0) -> RandomSuggester:
    return RandomSuggester(np.random.default_rng(seed))


@pytest.mark.parametrize("log", [False, True])
def test_random_numbers_are_uniform_or_uniform_in_their_logarithm(log: bool) -> None:
    random = drawn()
    values = np.array([random.suggest_float("knob", 1e-3, 10.0, log=log) for _ in range(DRAWS)])
    places = (np.log(values) - math.log(1e-3)) / math.log(1e4) if log else (values - 1e-3) / (10 - 1e-3)
    assert stats.kstest(places, "uniform").pvalue > 1e-4
    assert random.used["knob"] == values[-1]


def test_random_whole_numbers_and_choices_are_as_likely_as_each_other() -> None:
    random = drawn()
    for counts in (
        Counter(random.suggest_int("knob", 1, 4) for _ in range(DRAWS)),
        Counter(random.suggest_categorical("knob", (1, 2, 3, 4)) for _ in range(DRAWS)),
    ):
        assert sorted(counts) == [1, 2, 3, 4]
        assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_random_whole_numbers_in_the_logarithm_reach_both_ends() -> None:
    random = drawn()
    counts = Counter(random.suggest_int("knob", 1, 64, log=True) for _ in range(DRAWS))
    assert (min(counts), max(counts)) == (1, 64)
    expected = [math.log((value + 1) / value) / math.log(64.999) for value in (1, 2, 4)]
    assert [counts[value] / DRAWS for value in (1, 2, 4)] == pytest.approx(expected, abs=0.03)
    assert isinstance(random.used["knob"], int)


def test_a_seed_repeats_its_values() -> None:
    first, again, other = (drawn(seed).suggest_float("knob", 0, 1) for seed in (5, 5, 6))
    assert first == again != other
