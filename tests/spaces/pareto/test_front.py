"""The front against dominance by definition, the hypervolume against Optuna's and against counted cells."""

from __future__ import annotations

import csv
import doctest
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

import spaces.pareto.front
from spaces.pareto.front import front, hypervolume, knee
from spaces.spec.metrics import Mode

Point = tuple[float, int]  # quality, size

RESULTS = Path(__file__).parents[3].parent / "shared" / "data" / "peft_results" / "results.csv"

# Few distinct values, so equal qualities and sizes are common.
qualities = st.one_of(st.integers(0, 8).map(lambda n: n / 8), st.floats(-2.0, 2.0))
sizes = st.one_of(st.integers(1, 8), st.integers(1, 10_000_000))
points = st.lists(st.tuples(qualities, sizes), max_size=25)
modes = st.sampled_from(["max", "min"])


def quality(point: Point) -> float:
    return point[0]


def size(point: Point) -> int:
    return point[1]


def beats(one: Point, other: Point, mode: Mode) -> bool:
    """Pareto dominance as it is defined: at least as good on both, better on one."""
    sign = 1 if mode == "max" else -1
    as_good = sign * one[0] >= sign * other[0] and one[1] <= other[1]
    return as_good and one != other


@given(points, modes)
def test_front_is_what_nothing_beats(items: list[Point], mode: Mode) -> None:
    expected = {item for item in items if not any(beats(other, item, mode) for other in items)}
    found = front(items, quality, size, mode)
    assert set(found) == expected
    assert len(found) == len(expected)


@given(points, modes)
def test_front_ascends_in_size_and_improves(items: list[Point], mode: Mode) -> None:
    found = front(items, quality, size, mode)
    sign = 1 if mode == "max" else -1
    assert all(left[1] < right[1] and sign * left[0] < sign * right[0] for left, right in pairwise(found))


@given(points, modes)
def test_front_keeps_the_first_given_of_equals(items: list[Point], mode: Mode) -> None:
    twice = [(value, count, number) for number, (value, count) in enumerate(items + items)]
    found = front(twice, lambda one: one[0], lambda one: one[1], mode)
    assert [one[2] for one in found] == [items.index(one[:2]) for one in found]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_front_leaves_out_what_is_not_finite(bad: float) -> None:
    assert front([(bad, 1), (0.5, 2)], quality, size, "max") == [(0.5, 2)]


def test_front_of_nothing_is_empty() -> None:
    assert front([], quality, size, "max") == []


def by_optuna(items: list[Point], at_least: int, budget: int, reference: float, perfect: float) -> float:
    """Optuna's hypervolume, which minimises, of the points as two losses in [0, 1]."""
    losses = []
    for value, count in items:
        height = (value - reference) / (perfect - reference)
        if height > 0 and count <= budget:
            across = math.log10(max(count, at_least) / at_least) / math.log10(budget / at_least)
            losses.append((1 - min(height, 1.0), across))
    return float(compute_hypervolume(np.array(losses), np.array([1.0, 1.0]))) if losses else 0.0


ranges = st.tuples(st.integers(1, 1000), st.integers(2, 100_000)).map(lambda pair: (pair[0], pair[0] * pair[1]))


@given(points, ranges, st.floats(-1.0, 0.99), modes)
def test_hypervolume_is_optunas(items: list[Point], limits: tuple[int, int], reference: float, mode: Mode) -> None:
    sign = 1.0 if mode == "max" else -1.0
    items = [(sign * value, count) for value, count in items]
    limits_and_ends = (*limits, sign * reference, sign * 1.0)
    expected = by_optuna(items, *limits_and_ends)
    at_least, budget, start, perfect = limits_and_ends
    found = hypervolume(items, at_least=at_least, budget=budget, reference=start, perfect=perfect)
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0.0 <= found <= 1.0


@given(st.lists(st.tuples(st.integers(-2, 12), st.integers(0, 6)), max_size=8))
def test_hypervolume_is_the_dominated_share_of_cells(corners: list[tuple[int, int]]) -> None:
    """On points at the corners of a grid of 10 by 4 cells the area is a count."""
    dominated = sum(
        any(row < height and column >= across for height, across in corners) for row in range(10) for column in range(4)
    )
    items = [(height / 10, 10**across) for height, across in corners]
    found = hypervolume(items, at_least=1, budget=10**4, reference=0.0, perfect=1.0)
    assert found == pytest.approx(dominated / 40, abs=1e-12)


@given(points, st.tuples(qualities, sizes))
def test_hypervolume_never_falls_by_another_point(items: list[Point], another: Point) -> None:
    def area(found: list[Point]) -> float:
        return hypervolume(found, at_least=10, budget=1_000_000, reference=0.1, perfect=1.0)

    assert area([*items, another]) >= area(items) - 1e-12


def test_hypervolume_ignores_what_is_not_above_the_reference_or_within_the_budget() -> None:
    items = [(0.5, 10), (0.4, 10), (0.9, 1001), (math.nan, 10), (math.inf, 10)]
    assert hypervolume(items, at_least=10, budget=1000, reference=0.5, perfect=1.0) == 0.0


def test_hypervolume_of_a_perfect_point_at_the_lower_end_is_one() -> None:
    assert hypervolume([(0.0, 10)], at_least=10, budget=1000, reference=2.0, perfect=0.0) == 1.0
    assert hypervolume([(0.0, 3)], at_least=10, budget=1000, reference=2.0, perfect=0.0) == 1.0


def test_hypervolume_over_a_perfect_reference_is_nothing() -> None:
    assert hypervolume([(1.0, 10)], at_least=10, budget=1000, reference=1.0, perfect=1.0) == 0.0


@given(points, st.floats(-1.0, 0.99), st.integers(1, 8))
def test_hypervolume_over_one_size_is_the_best_height_there(items: list[Point], reference: float, budget: int) -> None:
    heights = [(value - reference) / (1.0 - reference) for value, count in items if count <= budget]
    found = hypervolume(items, at_least=budget, budget=budget, reference=reference, perfect=1.0)
    assert found == pytest.approx(min(1.0, max([0.0, *heights])))


@pytest.mark.parametrize(("at_least", "budget"), [(11, 10), (0, 10), (-1, 10)])
def test_hypervolume_refuses_a_range_upside_down(at_least: int, budget: int) -> None:
    with pytest.raises(ValueError, match="must lie above 0 and at most at the budget"):
        hypervolume([], at_least=at_least, budget=budget, reference=0.0, perfect=1.0)


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # few random sets have a front of three points
@given(points.map(lambda items: front(items, quality, size, "max")), modes)
def test_knee_is_farthest_from_the_line_between_the_ends(items: list[Point], mode: Mode) -> None:
    assume(len(items) >= 3)
    sign = 1.0 if mode == "max" else -1.0
    flipped = [(sign * value, count) for value, count in items]
    scaled = np.array([(math.log10(count), value) for value, count in items])
    scaled = (scaled - scaled[0]) / (scaled[-1] - scaled[0])
    distance = (scaled[:, 1] - scaled[:, 0]) / math.sqrt(2)  # from the diagonal, positive above it
    found = knee(flipped, quality, size, mode)
    assert distance[flipped.index(found)] == pytest.approx(distance.max(), abs=1e-9)


def test_knee_of_one_or_two_points_is_the_last() -> None:
    assert knee([(0.5, 10)], quality, size, "max") == (0.5, 10)
    assert knee([(0.5, 10), (0.6, 100)], quality, size, "max") == (0.6, 100)


def test_knee_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no knee"):
        knee([], quality, size, "max")


@pytest.mark.skipif(not RESULTS.exists(), reason="the shared data sets are not here")
def test_front_of_the_published_results() -> None:
    """huggingface/peft, folder method_comparison (Apache-2.0): MetaMathQA on Llama-3.2-3B, 63 runs."""
    with RESULTS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["task"] == "MetaMathQA"]
    found = front(rows, lambda row: float(row["quality"]), lambda row: float(row["trainable_params"]), "max")
    assert len(rows) == 63
    assert [int(row["trainable_params"]) for row in found] == [
        64,
        3_584,
        6_144,
        28_672,
        121_856,
        229_376,
        280_000,
        630_784,
        2_294_656,
        5_456_808,
        9_175_040,
        9_485_280,
    ]
    assert [round(float(row["quality"]), 3) for row in found] == [
        0.005,
        0.012,
        0.246,
        0.321,
        0.356,
        0.397,
        0.403,
        0.455,
        0.466,
        0.509,
        0.513,
        0.526,
    ]


def test_the_example_is_true() -> None:
    found = doctest.testmod(spaces.pareto.front)
    assert (found.attempted, found.failed) == (1, 0)
