"""What a picture shows: the dots, the line of the front, and bounds that hold what matters."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.model.budget import Budget
from tests.tracking.examples import REFERENCE, documents, rows, search_row, trial_row
from tracking.documents.building import build_front, build_trials
from tracking.mlflow_store.run_records import TrialRun
from tracking.reports.figure import PlottedTrial, compose, number


@given(rows, st.sampled_from(["accuracy", "loss"]), st.booleans())
def test_the_front_the_budget_and_the_reference_are_in_view(
    trials: list[TrialRun], metric: str, with_reference: bool
) -> None:
    front, found = documents([*trials, REFERENCE] if with_reference else trials, metric)
    picture = compose(front, found, confirmed=False, axis="trainable")
    (left, bottom), (right, top) = picture.low, picture.high
    assert 0 < left < right
    assert bottom < top
    assert left < picture.budget < right
    useful = [dot for dot in picture.front if not with_reference or REFERENCE.metrics["quality"] <= dot.quality]
    assert all(left < dot.size < right for dot in picture.trials)
    assert all(bottom < dot.quality < top for dot in (useful if metric == "accuracy" else []))
    assert picture.reference is None or bottom < picture.reference < top


def test_a_trial_that_diverged_does_not_flatten_the_others() -> None:
    front, found = documents([REFERENCE, trial_row("0000", 0.4, 100), trial_row("0001", 1e9, 200)], "loss")
    picture = compose(front, found, confirmed=False, axis="trainable")
    assert picture.high[1] < 1.0
    assert len(picture.trials) == 2


@given(rows)
def test_every_finished_trial_is_a_dot_with_the_look_of_its_method(trials: list[TrialRun]) -> None:
    front, found = documents(trials)
    picture = compose(front, found, confirmed=False, axis="trainable")
    assert [(dot.size, dot.quality) for dot in picture.trials] == [
        (one.trainable_parameters, one.quality) for one in found.trials if one.quality is not None
    ]
    assert [(dot.size, dot.quality) for dot in picture.front] == [
        (point.trainable_parameters, point.quality) for point in front.front
    ]
    assert {dot.method for dot in picture.trials} == set(picture.styles)


def test_the_front_goes_on_to_the_budget() -> None:
    front, found = documents([trial_row("0000", 0.6, 100), trial_row("0001", 0.7, 2000)])
    picture = compose(front, found, confirmed=False, axis="trainable")
    assert picture.line() == ([100, 2000, 50_000], [0.6, 0.7, 0.7])


def test_confirmed_points_are_shown_by_what_was_confirmed_with_its_spread() -> None:
    trials = [trial_row("0000", 0.75, 1000, confirmed_quality=0.74, confirmed_std=0.01), trial_row("0001", 0.9, 2000)]
    front = build_front(search_row(), trials, confirmed=True, axis="stored")
    picture = compose(front, build_trials(search_row(), trials), confirmed=True, axis="stored")
    assert [(dot.size, dot.quality, dot.spread) for dot in picture.front] == [(500, 0.74, 0.01)]
    assert picture.trials == ()
    beside = compose(front, build_trials(search_row(), trials), confirmed=True, axis="trainable").trials
    assert [(dot.size, dot.quality) for dot in beside] == [(1000, 0.75), (2000, 0.9)]


def test_twenty_methods_look_different() -> None:
    trials = [trial_row(f"{number:04d}", 0.6, 100 + number) for number in range(20)]
    named = [
        TrialRun(
            row.run_id, row.state, row.metrics, row.plan.model_copy(update={"method": f"method-{index}"}), row.reason
        )
        for index, row in enumerate(trials)
    ]
    front, found = documents(named)
    picture = compose(front, found, confirmed=False, axis="trainable")
    assert len(set(picture.styles.values())) == 20


@pytest.mark.parametrize(
    ("value", "percent", "text"), [(0.8731, True, "87.3%"), (1.0, True, "100.0%"), (12.3456, False, "12.35")]
)
def test_numbers_are_for_people(value: float, percent: bool, text: str) -> None:
    assert number(value, percent) == text


@given(rows, st.sampled_from(["accuracy", "loss"]), st.integers(1, 20))
def test_both_axes_have_an_extent_whatever_the_budget_is(trials: list[TrialRun], metric: str, budget: int) -> None:
    search = search_row(metric)
    search = replace(search, facts=search.facts.model_copy(update={"budget": Budget(budget, budget)}))
    of_that_size = [trial_row(one.plan.trial, one.quality, budget) for one in trials if one.quality is not None]
    front = build_front(search, [*of_that_size, REFERENCE], confirmed=False, axis="trainable")
    picture = compose(front, build_trials(search, of_that_size), confirmed=False, axis="trainable")
    assert picture.low[0] < 0.98 * picture.high[0]
    assert picture.high[1] - picture.low[1] > 1e-3


def test_an_enormous_loss_has_an_extent_too() -> None:
    front, found = documents([trial_row("0000", 1e18, 100)], "loss")
    picture = compose(front, found, confirmed=False, axis="trainable")
    assert picture.low[1] < picture.high[1]


@pytest.mark.parametrize("crowded", [(0.01,), (0.01, 0.71), (0.35, 0.71)])
def test_the_note_at_the_reference_goes_where_no_dots_are(crowded: tuple[float, ...]) -> None:
    """Many trials no better than the head alone, at some of the places that the note could have."""
    front, found = documents([REFERENCE, trial_row("0000", 0.9, 40_000)])
    picture = compose(front, found, confirmed=False, axis="trainable")
    low, high = (math.log(one) for one in (picture.low[0], picture.high[0]))
    dots = [
        PlottedTrial(round(math.exp(low + (left + part / 50) * (high - low))), 0.5 + shift, "lora", "")
        for left in crowded
        for part in range(12)
        for shift in (-0.012, 0.0, 0.012)
    ]
    place = replace(picture, trials=tuple(dots)).reference_place
    left = place.across - (0.22 if place.anchor == "right" else 0)
    assert all(abs(left - one) > 0.02 for one in crowded)


BEST = trial_row("0099", 0.9, 30_000)


def test_the_note_is_below_the_line_where_all_dots_are_above() -> None:
    front, found = documents([REFERENCE, *(trial_row(f"{n:04d}", 0.51, 40 * 2**n) for n in range(11)), BEST])
    picture = compose(front, found, confirmed=False, axis="trainable")
    assert picture.reference_place.above is False
