"""Which point of a front is exported."""

from __future__ import annotations

import pytest

from search.commands.exporting import Choice
from spaces.errors import RequestError
from tracking.documents import (
    BudgetNumbers,
    FrontDocument,
    FrontPoint,
    ObjectiveName,
    ReferenceQuality,
    TrialCounts,
)


def point(trial: str, size: int, quality: float, confirmed: float | None = None) -> FrontPoint:
    return FrontPoint(
        trial=trial,
        run_id="run",
        method="lora",
        config={},
        quality=quality,
        confirmed_quality=confirmed,
        confirmed_std=None,
        test_quality=None,
        trainable_parameters=size,
        stored_parameters=size,
        head_parameters=2,
        adapter_bytes=4 * size,
        steps=9,
        train_seconds=1.0,
        peak_memory_bytes=1,
    )


def front(*points: FrontPoint) -> FrontDocument:
    return FrontDocument(
        search="mine",
        base_model="m",
        base_parameters=10_000,
        budget=BudgetNumbers(parameters=1_000, at_least=1, bytes=None),
        objective=ObjectiveName(metric="accuracy", mode="max"),
        reference=ReferenceQuality(quality=0.5),
        hypervolume=None,
        trials=TrialCounts(finished=len(points), stopped=0, failed=0, rejected=0),
        front=points,
    )


SMALL, MIDDLE, LUCKY = point("small", 10, 0.6), point("middle", 100, 0.8, 0.79), point("lucky", 900, 0.81, 0.7)
FOUND, CONFIRMED = front(SMALL, MIDDLE, LUCKY), front(MIDDLE)
BEST = Choice(None, best=True, knee=False, trial=None)


def test_confirmed_points_are_trusted_before_lucky_ones() -> None:
    assert BEST.of(FOUND, CONFIRMED) == MIDDLE
    assert BEST.of(FOUND, front()) == LUCKY


def test_the_knee_of_a_confirmed_front_is_by_confirmed_quality() -> None:
    low, bent, high = point("low", 10, 0.50, 0.50), point("bent", 30, 0.51, 0.79), point("high", 900, 0.80, 0.80)
    knee = Choice(None, best=False, knee=True, trial=None)
    assert knee.of(FOUND, front(low, bent, high)) == bent
    assert knee.of(FOUND, front()) == MIDDLE


def test_what_no_confirmed_point_is_small_enough_for_comes_from_the_searchs_own_front() -> None:
    assert Choice(99, best=False, knee=False, trial=None).of(FOUND, CONFIRMED) == SMALL
    with pytest.raises(RequestError, match="--max-parameters 9: nothing so small; allowed: at least 10"):
        Choice(9, best=False, knee=False, trial=None).of(FOUND, CONFIRMED)
    with pytest.raises(RequestError, match="its front is empty"):
        BEST.of(front(), front())
