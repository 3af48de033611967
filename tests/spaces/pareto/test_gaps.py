"""Where a front is thin, against the area between it and what its next points reach."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.pareto.front import front
from spaces.pareto.gaps import ROOM, Gap, draw_size, gaps

AT_LEAST, BUDGET, REFERENCE = 100.0, 100_000.0, 0.5
points = st.lists(st.tuples(st.floats(0.51, 0.99), st.integers(50, 100_000).map(float)), max_size=8).map(
    lambda some: front(some, lambda one: one[0], lambda one: one[1], "max")
)
sizes = st.lists(st.floats(50, 100_000), max_size=4)


def found(of: list[tuple[float, float]], running: list[float]) -> list[Gap]:
    return gaps(of, running, at_least=AT_LEAST, budget=BUDGET, reference=REFERENCE)


@given(of=points, running=sizes)
def test_gaps_divide_the_budget_at_the_front_and_at_what_runs(
    of: list[tuple[float, float]], running: list[float]
) -> None:
    among = found(of, running)
    edges = {one.low for one in among} | {one.high for one in among}
    assert (min(edges), max(edges)) == (AT_LEAST, BUDGET)
    assert all(left.high == right.low for left, right in pairwise(among))
    inside = {size for size in (*(size for _, size in of), *running) if AT_LEAST < size < BUDGET}
    assert inside <= edges <= inside | {AT_LEAST, BUDGET}


@given(of=points, running=sizes)
def test_areas_are_what_the_front_and_its_next_points_leave_open(
    of: list[tuple[float, float]], running: list[float]
) -> None:
    top = max((quality for quality, _ in of), default=REFERENCE)
    middles = AT_LEAST * (BUDGET / AT_LEAST) ** ((np.arange(20_000) + 0.5) / 20_000)
    open_area = 0.0
    for size in middles:
        below = max((quality for quality, other in of if other <= size), default=REFERENCE)
        above = min((quality for quality, other in of if other > size), default=below)
        open_area += (above - below + ROOM * (top - REFERENCE)) / len(middles)
    width = math.log10(BUDGET / AT_LEAST)
    assert sum(one.area for one in found(of, running)) == pytest.approx(open_area * width, abs=2e-3)


def test_lower_may_be_better() -> None:
    losses = gaps([(2.0, 1e3), (1.0, 1e4)], [], at_least=1e2, budget=1e5, reference=3.0)
    shares = gaps([(0.6, 1e3), (0.7, 1e4)], [], at_least=1e2, budget=1e5, reference=0.5)
    assert [one.area for one in losses] == pytest.approx([10 * one.area for one in shares])


def test_sizes_are_drawn_as_often_as_areas_say() -> None:
    among = [Gap(1e2, 1e3, 3.0), Gap(1e3, 1e4, 1.0), Gap(1e4, 1e5, 0.0)]
    generator = np.random.default_rng(0)
    drawn = np.log10([draw_size(among, generator) for _ in range(4_000)])
    assert drawn.min() >= 2
    assert drawn.max() <= 4
    assert (drawn < 3).mean() == pytest.approx(0.75, abs=0.03)
    assert drawn[drawn < 3].mean() == pytest.approx(2.5, abs=0.03)


def test_where_nothing_is_known_every_size_is_as_likely() -> None:
    generator = np.random.default_rng(0)
    drawn = np.log10([draw_size(found([], []), generator) for _ in range(4_000)])
    assert drawn.mean() == pytest.approx(3.5, abs=0.05)
    assert drawn.std() == pytest.approx(3 / math.sqrt(12), abs=0.03)


def test_without_any_area_a_size_is_drawn_between_both_ends() -> None:
    generator = np.random.default_rng(0)
    empty = [Gap(1e2, 1e3, 0.0), Gap(1e3, 1e4, 0.0), Gap(1e4, 1e5, 0.0)]
    drawn = np.log10([draw_size(empty, generator) for _ in range(2_000)])
    assert np.histogram(drawn, bins=[2, 3, 4, 5])[0] / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.05)
    assert [draw_size([Gap(50.0, 50.0, 0.0)], generator)] == pytest.approx([50.0])


def test_only_the_ratios_of_areas_count() -> None:
    among = [Gap(1e2, 1e3, 3e-9), Gap(1e3, 1e4, 1e-9), Gap(1e4, 1e5, 0.0)]
    generator = np.random.default_rng(0)
    drawn = np.array([draw_size(among, generator) for _ in range(2_000)])
    assert drawn.max() <= 1e4
    assert (drawn < 1e3).mean() == pytest.approx(0.75, abs=0.04)
