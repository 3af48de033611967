"""The best point and the knee against their definitions, and whose word counts where some points were confirmed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.pareto.answers import Answer, ConfirmablePoint, above, answer, head_level, trusted_answer
from spaces.pareto.front import front, knee
from spaces.spec.metrics import Mode

EIGHTHS = st.integers(0, 8).map(lambda eighth: eighth / 8)
POINTS = st.lists(st.tuples(EIGHTHS, st.integers(1, 1000), st.none() | EIGHTHS), max_size=12).map(
    lambda made: [
        ConfirmablePoint(f"{number:04d}", size, *rest)
        for number, (quality, size, c) in enumerate(made)
        for rest in [(quality, c)]
    ]
)
MODES = st.sampled_from(["max", "min"])


def found(
    points: list[ConfirmablePoint], mode: Mode = "max", reference: float | None = 0.5, at_most: int | None = None
) -> Answer[ConfirmablePoint]:
    """By qualities as they are, as if none had an error."""
    sign = 1 if mode == "max" else -1
    return trusted_answer(
        points,
        reference=reference,
        mode=mode,
        clearly_better=lambda left, right: sign * left.known > sign * right.known,
        at_most=at_most,
    )


@given(POINTS, MODES, EIGHTHS)
def test_without_confirmations_they_are_those_of_the_front_above_the_head(
    points: list[ConfirmablePoint], mode: Mode, reference: float
) -> None:
    single = [ConfirmablePoint(one.trial, one.parameters, one.quality) for one in points]
    sign = 1 if mode == "max" else -1
    able = [
        one
        for one in front(single, lambda one: one.quality, lambda one: one.parameters, mode)
        if sign * (one.quality - reference) > 0
    ]
    expected = (
        Answer(able[-1], knee(able, lambda one: one.quality, lambda one: one.parameters, mode))
        if able
        else Answer(None, None)
    )
    assert found(single, mode, reference) == expected


@given(POINTS, MODES, EIGHTHS, st.none() | st.integers(1, 1000))
def test_neither_is_ever_no_better_than_the_head_or_too_large(
    points: list[ConfirmablePoint], mode: Mode, reference: float, at_most: int | None
) -> None:
    sign = 1 if mode == "max" else -1
    both = found(points, mode, reference, at_most)
    assert (both.best is None) == (both.knee is None)
    for one in (both.best, both.knee):
        if one is not None:
            assert sign * (one.known - reference) > 0
            assert at_most is None or one.parameters <= at_most


@given(POINTS, MODES, EIGHTHS)
def test_no_trial_is_known_to_be_better_than_the_best(
    points: list[ConfirmablePoint], mode: Mode, reference: float
) -> None:
    sign = 1 if mode == "max" else -1
    best = found(points, mode, reference).best
    able = [one for one in points if sign * (one.known - reference) > 0]
    assert all(best is not None and sign * best.known >= sign * one.known for one in able)


@given(POINTS, MODES, EIGHTHS, st.integers(1, 1000))
def test_a_limit_that_the_best_keeps_changes_nothing(
    points: list[ConfirmablePoint], mode: Mode, reference: float, at_most: int
) -> None:
    best = found(points, mode, reference).best
    if best is not None and best.parameters <= at_most:
        assert found(points, mode, reference, at_most).best == best


def test_luck_is_no_reason_and_a_confirmed_point_that_is_worse_is_none_either() -> None:
    lucky, steady = ConfirmablePoint("lucky", 900, 0.81, 0.7), ConfirmablePoint("steady", 100, 0.8, 0.79)
    assert found([lucky, steady]).best == steady
    # As a practitioner found it: a confirmed point below the head alone, and a good one beside it.
    low, good = ConfirmablePoint("low", 1_000, 0.5, 0.311), ConfirmablePoint("good", 15_000, 0.734)
    assert found([low, good], reference=0.393, at_most=20_000) == Answer(good, good)
    assert found([low], reference=0.393) == Answer(None, None)
    worse = ConfirmablePoint("worse", 900, 0.74, 0.45)
    assert found([worse, good], reference=0.393, at_most=20_000).best == good


def test_what_is_not_clearly_better_does_not_take_the_place_of_what_was_confirmed() -> None:
    points = [ConfirmablePoint("0000", 100, 0.74, 0.735), ConfirmablePoint("0001", 200, 0.745)]
    chosen = trusted_answer(points, reference=0.5, mode="max", clearly_better=lambda left, right: False)
    assert chosen.best == points[0]
    assert found(points).best == points[1]


@pytest.mark.parametrize(
    ("reference", "mode", "expected"),
    [
        (None, "max", 0),
        (math.nan, "max", 0),
        (0.7, "max", 0),
        (0.6, "max", 1),
        (-math.inf, "max", 3),
        (math.inf, "min", 3),
        (0.6, "min", 1),
        (0.5, "min", 0),
    ],
)
def test_above_the_head_is_strictly_better_than_it(reference: float | None, mode: Mode, expected: int) -> None:
    qualities = [0.5, 0.6, 0.7, math.nan]
    kept = above(qualities, lambda one: one, reference, mode)
    assert len(kept) == expected
    points = [one for one in qualities if not math.isnan(one)]
    both = answer(points, quality=lambda one: one, size=lambda one: 1.0, reference=reference, mode=mode)
    assert (both.best is None) == (expected == 0)


def test_a_head_without_a_finite_quality_is_beaten_by_every_trial() -> None:
    assert [head_level(None, "min"), head_level(math.inf, "min"), head_level(None, "max")] == [
        math.inf,
        math.inf,
        -math.inf,
    ]
    assert head_level(0.5, "max") == 0.5
