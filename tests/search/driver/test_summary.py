"""The summary of a search, from MLflow or from the ledger, and the files of its front."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.driver.recorder import Recorder
from search.driver.summary import HTML, JSON, PNG, is_written, summarise_run, summarise_tracked, write_pictures
from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialResult
from tests.tracking.examples import finished, make_spec, plan
from tracking.writing.search_writer import SearchWriter

BUDGET = Budget(50_000, 1)


class EndedSearch:
    """A search of a reference and three trials, one of them stopped and one confirmed, in the ledger and in MLflow."""

    def __init__(self, folder: Path) -> None:
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.spec = make_spec(folder)
        self.spec.home.mkdir(exist_ok=True)
        ledger = Ledger(self.spec.home)
        writer = SearchWriter(self.uri, self.spec, "id", self.spec.home)
        writer.start_search(BUDGET, 1_000_000, 770)
        self.recorder = Recorder(ledger, writer, BUDGET, self.spec.metric, rejected=2)
        stopped = TrialResult(state="stopped", steps=9, reason="behind")
        for one, result in (
            (plan("reference", kind="reference", parameters=770), finished(0.6)),
            (plan("0000", parameters=1_000), finished(0.7)),
            (plan("0001", parameters=5_000), finished(0.8)),
            (plan("0002", parameters=2_000), stopped),
            (plan("0001-confirm-1", kind="confirmation", parameters=5_000, confirms="0001"), finished(0.75)),
        ):
            ledger.trial(one.trial).write_plan(one)
            ledger.trial(one.trial).write_result(result)
            self.recorder.finished(one)
        writer.set_confirmed("0001", 0.75, None, None, 1)
        writer.end_search("finished")
        assert writer.close(60) == 0
        sizes: Any = SimpleNamespace(base_parameters=1_000_000, head_parameters=770)
        self.prepared: Any = SimpleNamespace(spec=self.spec, budget=BUDGET, inventory=sizes)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> EndedSearch:
    folder = tmp_path_factory.mktemp("ended")
    shutil.copy(empty_database, folder / "mlflow.db")
    return EndedSearch(folder)


def test_the_ledger_alone_gives_the_summary_that_mlflow_gives(ended: EndedSearch) -> None:
    tracked = summarise_run(ended.prepared, ended.recorder, ended.uri, waiting=0)
    local = summarise_run(ended.prepared, ended.recorder, ended.uri, waiting=3)
    assert (tracked.waiting, local.waiting) == (0, 3)
    assert [point.trial for point in tracked.front.front] == ["0000", "0001"]
    assert [point.trial for point in tracked.confirmed.front] == ["0001"]
    assert all(point.run_id for point in tracked.front.front)
    assert all(not point.run_id for point in local.front.front)
    for of in ("front", "confirmed"):
        here, there = (
            [point.model_dump(exclude={"run_id"}) for point in getattr(one, of).front] for one in (local, tracked)
        )
        assert here == there
    assert local.front.trials == tracked.front.trials
    assert local.front.hypervolume == pytest.approx(tracked.front.hypervolume)
    assert [(one.trial, one.state) for one in local.trials.trials] == [
        (one.trial, one.state) for one in tracked.trials.trials
    ]
    assert (local.near_head, local.ended_early) == (tracked.near_head, tracked.ended_early)


def test_where_mlflow_does_not_answer_the_ledger_is_read(ended: EndedSearch) -> None:
    elsewhere = "http://127.0.0.1:1"  # nothing answers there
    with pytest.raises(RequestError):
        summarise_tracked(elsewhere, ended.spec.name, 0)
    summary = summarise_run(ended.prepared, ended.recorder, elsewhere, waiting=0)
    assert [point.trial for point in summary.front.front] == ["0000", "0001"]


def test_the_front_is_written_and_known_again(ended: EndedSearch, tmp_path: Path) -> None:
    summary = summarise_run(ended.prepared, ended.recorder, ended.uri, waiting=0)
    assert not is_written(summary, tmp_path)
    assert write_pictures(summary, tmp_path) == [tmp_path / name for name in (JSON, HTML, PNG)]
    assert json.loads((tmp_path / JSON).read_text()) == json.loads(summary.front.model_dump_json())
    assert (tmp_path / PNG).read_bytes().startswith(b"\x89PNG")
    assert "<html" in (tmp_path / HTML).read_text()
    assert is_written(summary, tmp_path)
    assert not is_written(replace(summary, front=summary.confirmed), tmp_path)
    (tmp_path / JSON).write_bytes(b"\xff")
    assert not is_written(summary, tmp_path)
