"""The time that is left follows from the pace of the last trials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from search.service.status.eta import RECENT, seconds_left
from tests.tracking.examples import REFERENCE, trial_row
from tracking.mlflow_store.run_records import TrialRun


def took(number: int, seconds: float | None, trained: float, **more: Any) -> TrialRun:
    return replace(trial_row(f"{number:04d}", 0.7, 100, train_seconds=trained, **more), seconds=seconds)


def test_the_time_left_is_that_of_the_trials_that_are_left() -> None:
    ended = [took(number, 12.0, 10.0) for number in range(4)]
    running = [took(number, None, 0.0, state="running") for number in (4, 5)]
    assert seconds_left([REFERENCE, *ended, *running], 10) == pytest.approx(6 * 12 / 2)
    assert seconds_left([REFERENCE, *ended], 10) == pytest.approx(6 * 12)  # between two trials
    assert seconds_left([REFERENCE, *running], 10) is None
    assert seconds_left(ended, 4) is None


def test_time_in_which_a_search_did_not_run_is_not_its_pace() -> None:
    days = 3 * 86_400.0
    ended = [took(0, 12.0, 10.0), took(1, days, 10.0), took(2, 12.0, 10.0)]
    assert seconds_left([*ended, took(3, None, 0.0, state="running")], 5) == pytest.approx(2 * 12)


def test_the_pace_is_that_of_the_last_trials() -> None:
    early = [took(number, 1.0, 1.0) for number in range(50)]
    late = [took(50 + number, 100.0, 100.0) for number in range(RECENT)]
    assert seconds_left([*early, *late], 50 + RECENT + 1) == pytest.approx(100)
