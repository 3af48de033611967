"""Points of the front as values."""

from __future__ import annotations

import dataclasses

import pytest

from spaces.pareto.answers import ConfirmablePoint
from spaces.pareto.point import SIZE_REGION, Point


def test_points_are_values_that_never_change() -> None:
    point = Point("0000", 100, 0.5)
    assert point == Point("0000", 100, 0.5)
    assert len({point, Point("0000", 100, 0.5), Point("0000", 100, 0.6), Point("0001", 100, 0.5)}) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.quality = 0.9  # type: ignore[misc]


def test_a_point_that_may_be_confirmed_is_another_one() -> None:
    once = ConfirmablePoint("0000", 100, 0.5)
    assert once != Point("0000", 100, 0.5)
    assert once != dataclasses.replace(once, confirmed=0.5)
    assert (once.known, dataclasses.replace(once, confirmed=0.4).known) == (0.5, 0.4)


def test_a_power_of_ten_of_parameters_has_whole_regions() -> None:
    assert (1 / SIZE_REGION).is_integer()
