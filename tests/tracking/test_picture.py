"""What a picture shows: the dots, the line of the front, and bounds that hold what matters."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracking.examples import REFERENCE, rows, search_row, trial_row
from tracking.documents import FrontDocument, TrialsDocument
from tracking.picture import compose, number
from tracking.rows import TrialRow
from tracking.views import build_front, build_trials


def documents(trials: Sequence[TrialRow], metric: str = "accuracy") -> tuple[FrontDocument, TrialsDocument]:
    search = search_row(metric)
    return build_front(search, trials, confirmed=False, axis="trainable"), build_trials(search, trials)


@given(rows, st.sampled_from(["accuracy", "loss"]), st.booleans())
def test_the_front_the_budget_and_the_reference_are_in_view(
    trials: list[TrialRow], metric: str, with_reference: bool
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
def test_every_finished_trial_is_a_dot_with_the_look_of_its_method(trials: list[TrialRow]) -> None:
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
        TrialRow(
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
