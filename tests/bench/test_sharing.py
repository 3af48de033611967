"""What a further process adds, from sums that can be taken apart by hand."""

from __future__ import annotations

import pytest

from tests.bench.sharing import Point, base_added, growth, step_growths

BASE, REST = 1_000, 300


def points(each: int, once: int) -> list[Point]:
    return [Point(count, once + count * each, count * each) for count in (1, 2, 4, 8)]


def test_growth_is_what_a_further_process_adds() -> None:
    assert growth(points(REST, BASE)) == REST
    assert step_growths(points(REST, BASE)) == [REST] * 3


@pytest.mark.parametrize("part", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("written", [0, 200])
def test_the_part_of_the_base_is_told_from_the_rest_and_from_what_is_written(part: float, written: int) -> None:
    shared = points(REST + written + int(part * BASE), BASE)
    assert base_added(shared, points(REST + written + BASE, 0), BASE) == pytest.approx(part)
