"""Which points stay apart over fresh seeds, against SciPy and by hand."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from spaces.pareto.point import Point
from spaces.pareto.significance import (
    Score,
    Spread,
    contested,
    error_of_difference,
    near_front,
    next_round,
    ties,
    told_apart,
)
from spaces.spec.metrics import Mode
from spaces.trials.row_values import RowValues, pack, unpack

NO_SEEDS = Spread(0.0, 0)
SCORES = st.lists(st.integers(0, 100).map(lambda score: score / 100), min_size=2, max_size=6)


def trainings(scores: Mapping[str, Sequence[float]]) -> dict[str, list[Score]]:
    """As an earlier version recorded them: of the rows nothing is known."""
    return {trial: [Score(one) for one in found] for trial, found in scores.items()}


@given(SCORES, SCORES)
def test_two_points_are_compared_by_students_test(left: list[float], right: list[float]) -> None:
    found = ties({"left": 10, "right": 20}, trainings({"left": left, "right": right}))
    assume(len({*left, *right}) > 2)
    assert (found == []) == (stats.ttest_ind(left, right).pvalue < 0.05)


def test_neighbours_are_by_size_and_one_seed_each_tells_nothing() -> None:
    sizes = {"large": 300, "small": 100, "middle": 200}
    assert ties(sizes, trainings({trial: [0.1] for trial in sizes})) == [("small", "middle"), ("middle", "large")]
    scores = {"small": [0.1, 0.11], "middle": [0.9, 0.91], "large": [0.9, 0.91]}
    assert ties(sizes, trainings(scores)) == [("middle", "large")]
    assert ties(sizes, trainings({**scores, "large": []})) == [("middle", "large")]


def test_what_lies_between_two_that_are_tied_does_not_settle_them() -> None:
    sizes = {"small": 100, "worse": 200, "large": 300}
    scores = {"small": [0.80, 0.82], "worse": [0.30, 0.31], "large": [0.81, 0.83]}
    assert ties(sizes, trainings(scores)) == []
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


def outcomes(shares: Sequence[float], rows: int = 1_000, common: float = 0.0, seed: int = 0) -> list[Score]:
    """Trainings that get such shares of the rows right; `common`: how far the hardness of rows decides it."""
    generator = np.random.default_rng(seed)
    hardness = np.random.default_rng(99).random(rows)
    found = []
    for share in shares:
        luck = np.where(generator.random(rows) < common, hardness, generator.random(rows))
        right = luck < share
        found.append(Score(float(right.mean()), unpack(pack(right))))
    return found


def test_with_one_seed_each_the_rows_decide() -> None:
    coin, good = outcomes([0.512], seed=1), outcomes([0.818], seed=2)
    sizes = {"coin": 1, "good": 2}
    assert ties(sizes, {"coin": coin, "good": good}) == []
    assert ties(sizes, {"coin": coin, "good": outcomes([0.52], seed=3)}) == [("coin", "good")]
    left, right = (one[0].rows for one in (coin, good))
    assert left is not None
    assert right is not None
    expected = stats.ttest_rel(left.values, right.values)
    margin = abs(expected.statistic) * error_of_difference(coin, good, NO_SEEDS)
    assert margin == pytest.approx(good[0].quality - coin[0].quality)


def test_rows_that_are_hard_for_both_are_no_difference() -> None:
    """What unpaired errors cannot tell apart, the same rows can."""
    left, right = outcomes([0.82], common=0.95, seed=1), outcomes([0.86], common=0.95, seed=2)
    assert told_apart(left, right, NO_SEEDS)
    other = [Score(right[0].quality, unpack(pack(np.arange(999) < 999 * right[0].quality)))]  # of other rows
    assert not told_apart(left, other, NO_SEEDS)


def test_both_errors_count() -> None:
    rows = outcomes([0.80, 0.80], common=1.0)
    better = outcomes([0.82, 0.82], common=1.0)
    assert told_apart(rows, better, Spread(0.0, 2))
    assert not told_apart(rows, better, Spread(0.05**2, 2))
    few, more = outcomes([0.78, 0.78], rows=50, seed=4), outcomes([0.84, 0.84], rows=50, seed=5)
    assert told_apart([Score(one.quality) for one in few], [Score(one.quality) for one in more], Spread(1e-6, 2))
    assert not told_apart(few, more, Spread(1e-6, 2))


def test_of_two_that_are_equal_about_one_in_twenty_is_told_apart_wrongly() -> None:
    """Seeds and rows drawn anew each time, as the errors suppose."""
    generator = np.random.default_rng(0)
    rows, seeds, wrong, times = 200, 3, 0, 400
    for _ in range(times):
        hardness = generator.random(rows)
        sides = []
        for _ in range(2):
            own = generator.random(rows)  # rows that this trial finds hard on every seed
            side = []
            for _ in range(seeds):
                share = 0.8 + 0.02 * generator.normal()
                right = 0.5 * hardness + 0.3 * own + 0.2 * generator.random(rows) < 0.2 + share * 0.5
                side.append(Score(float(right.mean()), unpack(pack(right))))
            sides.append(side)
        wrong += told_apart(*sides, Spread.of([[one.quality for one in side] for side in sides]))
    assert 0.01 <= wrong / times <= 0.07


def test_where_nothing_is_known_nothing_is_told_apart() -> None:
    assert not told_apart([Score(0.1)], [Score(0.9)], NO_SEEDS)
    assert error_of_difference([Score(0.1)], [Score(0.9)], NO_SEEDS) == 0.0


def test_near_is_within_the_noise_of_the_best_so_small() -> None:
    points = [Point("a", 100, 0.60), Point("b", 1_000, 0.80)]
    others = [
        Point("c", 150, 0.59),
        Point("d", 900, 0.58),
        Point("e", 2_000, 0.70),
        Point("f", 50, 0.1),
    ]
    found = near_front([*points, *others], points, 5, mode="max", noise=lambda best, one: 0.03)
    assert [one.trial for one in found] == ["c", "d"]
    turned = [Point(one.trial, one.parameters, -one.quality) for one in others]
    front = [Point(one.trial, one.parameters, -one.quality) for one in points]
    assert [one.trial for one in near_front(turned, front, 1, mode="min", noise=lambda best, one: 0.03)] == ["c"]
    compared: list[tuple[str, str]] = []

    def noise(best: Point, one: Point) -> float:
        compared.append((best.trial, one.trial))
        return 0.0

    assert near_front(others, points, 5, mode="max", noise=noise) == []
    assert compared == [("a", "c"), ("a", "d"), ("b", "e")]


@pytest.mark.parametrize("left", [0, 1, 2, 5])
def test_no_round_is_larger_than_what_is_left(left: int) -> None:
    points = [Point(name, size, 0.5) for name, size in (("a", 1), ("b", 2), ("c", 3))]
    assert next_round(points, [], {}, left, mode="max") == ["a", "b", "c"][:left]
    once = {name: [0.5] for name in "abc"}
    assert next_round(points, [Point("n", 2, 0.5)], once, left, mode="max") == ["n"][:left]
    assert next_round(points, [], {**once, "a": [0.5, 0.5]}, left, mode="max") == ["b", "c"][:left]
    twice = {name: [0.4, 0.6] for name in "bc"}
    assert next_round(points, [], {**twice, "a": [0.4, 0.6, 0.5]}, left, mode="max") == ["b", "c", "a"][:left]


def test_a_trial_that_failed_again_takes_no_more_part() -> None:
    points = [Point("a", 1, 0.5), Point("b", 2, 0.6)]
    assert next_round(points, [], {"a": [], "b": [0.6]}, 5, mode="max") == ["b"]
    assert next_round(points, [], {"a": [], "b": [0.6, 0.6]}, 5, mode="max") == []


def test_even_a_lone_point_gets_a_spread() -> None:
    assert next_round([Point("a", 1, 0.5)], [], {"a": [0.5]}, 2, mode="max") == ["a"]
    assert next_round([Point("a", 1, 0.5)], [], {"a": [0.5, 0.6]}, 1, mode="max") == []


@pytest.mark.parametrize("rows", [3, 4, 6])
def test_the_rows_of_one_seed_are_compared_by_the_paired_test_of_few_rows(rows: int) -> None:
    """With few rows the degrees of freedom decide."""
    generator = np.random.default_rng(rows)
    found = []
    for _ in range(200):
        left, right = generator.random(rows), generator.random(rows) + 0.6
        sides = [[Score(float(one.mean()), RowValues(one, rows, 1))] for one in (left, right)]
        significant = bool(stats.ttest_rel(left, right).pvalue < 0.05)
        assert told_apart(*sides, NO_SEEDS) == significant
        found.append(significant)
    assert 20 < sum(found) < 180


def test_equal_means_without_any_error_are_not_told_apart() -> None:
    same = [Score(0.5), Score(0.5)]
    assert not told_apart(same, same, Spread(0.0, 2))
    assert told_apart(same, [Score(0.6), Score(0.6)], Spread(0.0, 2))
