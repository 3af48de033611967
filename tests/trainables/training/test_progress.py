"""What a running training tells of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.trials.ledger import Ledger, Superseded, TrialFolder
from spaces.trials.records import Progress
from tests.tracking.examples import finished, plan
from trainables.training import progress
from trainables.training.progress import ProgressFile


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    folder = Ledger(tmp_path).taken_over().trial("0000")
    folder.write_plan(plan("0000"))
    return folder


def test_the_first_step_is_told_at_once_and_later_ones_with_their_mean_loss(
    folder: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    told = ProgressFile(folder)
    told(1, 8.0)
    assert folder.progress() == Progress(step=1, loss=8.0)
    for step, loss in ((2, 3.0), (3, 4.0)):
        told(step, loss)
    assert folder.progress() == Progress(step=1, loss=8.0)
    now += progress.WRITE_SECONDS
    told(4, 5.0)
    assert folder.progress() == Progress(step=4, loss=4.0)


def test_an_evaluation_tells_the_answers_that_it_has_written(
    folder: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    told = ProgressFile(folder)
    told(9, 2.0)
    now += progress.WRITE_SECONDS
    told.wrote(9, 64, 500, 12)
    told.wrote(9, 64, 500, 13)
    assert folder.progress() == Progress(step=9, loss=2.0, answers=64, of_answers=500, tokens=12)
    now += progress.WRITE_SECONDS
    told(10, 1.0)
    assert folder.progress() == Progress(step=10, loss=1.0)


def test_nothing_is_known_before_and_after_a_training(folder: TrialFolder) -> None:
    assert folder.progress() is None
    ProgressFile(folder)(7, 1.0)
    folder.write_result(finished(0.5))
    assert folder.progress() is None


def test_a_training_goes_on_where_its_progress_cannot_be_written(tmp_path: Path) -> None:
    ProgressFile(TrialFolder(tmp_path / "absent" / "trials" / "0000"))(1, 1.0)


def test_a_torn_file_says_nothing(folder: TrialFolder) -> None:
    (folder.path / "progress.json").write_text('{"step": 3')
    assert folder.progress() is None


def test_a_worker_of_an_earlier_driver_ends_instead_of_telling(folder: TrialFolder) -> None:
    told = ProgressFile(folder)
    Ledger(folder.path.parent.parent).taken_over()
    with pytest.raises(Superseded):
        told(1, 1.0)
