"""Which points stay apart over fresh seeds, against SciPy and by hand."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from spaces.confirming import Candidate, contested, near_front, next_round, ties
from spaces.metrics import Mode

SCORES = st.lists(st.integers(0, 100).map(lambda score: score / 100), min_size=2, max_size=6)


@given(SCORES, SCORES)
def test_two_points_are_compared_by_students_test(left: list[float], right: list[float]) -> None:
    found = ties({"left": 10, "right": 20}, {"left": left, "right": right})
    assume(len({*left, *right}) > 2)
    assert (found == []) == (stats.ttest_ind(left, right).pvalue < 0.05)


def test_neighbours_are_by_size_and_one_seed_each_tells_nothing() -> None:
    sizes = {"large": 300, "small": 100, "middle": 200}
    assert ties(sizes, {trial: [0.1] for trial in sizes}) == [("small", "middle"), ("middle", "large")]
    scores = {"small": [0.1, 0.11], "middle": [0.9, 0.91], "large": [0.9, 0.91]}
    assert ties(sizes, scores) == [("middle", "large")]
    assert ties(sizes, {**scores, "large": []}) == [("middle", "large")]


def test_what_lies_between_two_that_are_tied_does_not_settle_them() -> None:
    sizes = {"small": 100, "worse": 200, "large": 300}
    scores = {"small": [0.80, 0.82], "worse": [0.30, 0.31], "large": [0.81, 0.83]}
    assert ties(sizes, scores) == []
    assert contested(sizes, scores, "max") == [("small", "large")]
    assert contested(sizes, {**scores, "large": [0.95, 0.96]}, "max") == []
    assert contested(sizes, {**scores, "worse": []}, "max") == [("small", "large")]
    turned = {trial: [-one for one in found] for trial, found in scores.items()}
    assert contested(sizes, turned, "min") == [("small", "large")]


@given(st.lists(st.tuples(st.integers(1, 5), SCORES), min_size=1, max_size=6), st.sampled_from(["max", "min"]))
def test_contested_is_whatever_the_best_of_at_most_its_size_does_not_settle(
    trials: list[tuple[int, list[float]]], mode: Mode
) -> None:
    sizes = {str(number): size for number, (size, _) in enumerate(trials)}
    scores = {str(number): found for number, (_, found) in enumerate(trials)}
    pooled = sum((len(one) - 1) * statistics.variance(one) for one in scores.values())
    freedom = sum(len(one) - 1 for one in scores.values())
    assume(pooled > 1e-9)
    sign = 1 if mode == "max" else -1
    means = {trial: sign * statistics.fmean(one) for trial, one in scores.items()}
    ordered = sorted(sizes, key=lambda one: (sizes[one], -means[one], one))
    expected = []
    for position, trial in enumerate(ordered[1:], start=1):
        best = max(ordered[:position], key=lambda one: means[one])  # the first of equal ones
        error = math.sqrt(pooled / freedom * (1 / len(scores[best]) + 1 / len(scores[trial])))
        if not abs(means[best] - means[trial]) / error > stats.t.ppf(0.975, freedom):
            expected.append((best, trial))
    assert contested(sizes, scores, mode) == expected


def candidate(trial: str, parameters: int, quality: float, on_front: bool = False) -> Candidate:
    return Candidate(trial, parameters, quality, on_front)


def test_near_is_within_the_noise_of_the_best_so_small() -> None:
    points = [candidate("a", 100, 0.60, True), candidate("b", 1_000, 0.80, True)]
    others = [
        candidate("c", 150, 0.59),
        candidate("d", 900, 0.58),
        candidate("e", 2_000, 0.70),
        candidate("f", 50, 0.1),
    ]
    found = near_front([*points, *others], points, 5, mode="max", noise=lambda quality: 0.03)
    assert [one.trial for one in found] == ["c", "d"]
    turned = [Candidate(one.trial, one.parameters, -one.quality, one.on_front) for one in others]
    front = [Candidate(one.trial, one.parameters, -one.quality, True) for one in points]
    assert [one.trial for one in near_front(turned, front, 1, mode="min", noise=lambda quality: 0.03)] == ["c"]


@pytest.mark.parametrize("left", [0, 1, 2, 5])
def test_no_round_is_larger_than_what_is_left(left: int) -> None:
    points = [candidate(name, size, 0.5, True) for name, size in (("a", 1), ("b", 2), ("c", 3))]
    assert next_round(points, [], {}, left, mode="max") == ["a", "b", "c"][:left]
    once = {name: [0.5] for name in "abc"}
    assert next_round(points, [candidate("n", 2, 0.5)], once, left, mode="max") == ["n"][:left]
    assert next_round(points, [], {**once, "a": [0.5, 0.5]}, left, mode="max") == ["b", "c"][:left]
    twice = {name: [0.4, 0.6] for name in "bc"}
    assert next_round(points, [], {**twice, "a": [0.4, 0.6, 0.5]}, left, mode="max") == ["b", "c", "a"][:left]


def test_a_trial_that_failed_again_takes_no_more_part() -> None:
    points = [candidate("a", 1, 0.5, True), candidate("b", 2, 0.6, True)]
    assert next_round(points, [], {"a": [], "b": [0.6]}, 5, mode="max") == ["b"]
    assert next_round(points, [], {"a": [], "b": [0.6, 0.6]}, 5, mode="max") == []


def test_even_a_lone_point_gets_a_spread() -> None:
    assert next_round([candidate("a", 1, 0.5, True)], [], {"a": [0.5]}, 2, mode="max") == ["a"]
    assert next_round([candidate("a", 1, 0.5, True)], [], {"a": [0.5, 0.6]}, 1, mode="max") == []
