"""The end of a search on the terminal."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from search.driver.conclusion import conclude
from search.driver.summary import Summary, summary_of
from tests.tracking.examples import REFERENCE, make_spec, search_row, trial_row
from tracking.mlflow_store.runs import TrialRun

ROWS = [REFERENCE, trial_row("0000", 0.7, 100, confirmed_quality=0.7), trial_row("0001", 0.8, 200)]


def concluded(tmp_path: Path, summary: Summary) -> tuple[int, str]:
    printed = io.StringIO()
    code = conclude(summary, make_spec(tmp_path), Console(file=printed, width=200))
    return code, printed.getvalue()


def summary(rows: list[TrialRun] = ROWS, **changes: object) -> Summary:
    return dataclasses.replace(summary_of(search_row(), rows, waiting=0), **changes)  # type: ignore[arg-type]


def test_both_fronts_and_their_pictures(tmp_path: Path) -> None:
    code, text = concluded(tmp_path, summary())
    assert code == 0
    assert text.count(": up to 50,000 parameters") == 2
    home = make_spec(tmp_path).home
    assert text.splitlines()[-2:] == [f"wrote {home / 'front.html'}", f"wrote {home / 'front.png'}"]


def test_without_a_finished_trial_the_work_failed(tmp_path: Path) -> None:
    code, text = concluded(tmp_path, summary([REFERENCE]))
    assert code == 1
    assert text.splitlines()[-1] == "No trial finished; `paretune trials demo` says why."


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"near_head": True}, "The best trial is not told apart from the head alone"),
        ({"waiting": 7}, "MLflow does not answer: 7 events wait in "),
        ({"ended_early": "interrupted"}, "Ended early: interrupted. `paretune resume demo` goes on."),
        ({}, "2 of 40 trials: no configuration was found"),
    ],
)
def test_what_a_reader_should_know_is_said(tmp_path: Path, changes: dict[str, object], note: str) -> None:
    assert note in concluded(tmp_path, summary(**changes))[1]
    silent = concluded(tmp_path, summary(ended_early="another reason"))[1]
    assert note not in silent
