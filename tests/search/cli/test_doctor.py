"""`doctor`: what it says of a search whose runs were deleted in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.storage import search_folder
from spaces.model.budget import Budget
from spaces.trials.ledger import Ledger
from tests.conftest import Workplace
from tests.tracking.examples import finished, make_spec, plan
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.runs import list_searches
from tracking.writing.search_writer import SearchWriter


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A search of one trial, in its ledger and in MLflow, where a user works."""
    storage = tmp_path / "paretune-runs"
    uri = f"sqlite:///{storage}/mlflow.db"
    spec = make_spec(storage)
    search_folder.create(spec, search_folder.Identity("id", {}, uri))
    ledger = Ledger(spec.home)
    ledger.trial("0000").write_plan(plan("0000"))
    ledger.trial("0000").write_result(finished(0.7))
    writer = SearchWriter(uri, spec, "id", spec.home)
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    writer.start_trial(plan("0000"))
    writer.end_trial(plan("0000"), finished(0.7))
    writer.end_search("finished")
    assert writer.close(60) == 0
    return Workplace(tmp_path, tmp_path, tmp_path)


def problems(place: Workplace) -> list[str]:
    """Those of MLflow; the search has no Optuna study."""
    document: dict[str, Any] = place.read("doctor", "demo")
    return [one for one in document["problems"] if "MLflow" in one]


def test_a_deleted_run_is_told_from_one_that_was_never_sent(place: Workplace) -> None:
    client = connect(f"sqlite:///{place.folder}/paretune-runs/mlflow.db")
    assert problems(place) == []
    (trial,) = place.read("trials", "demo")["trials"]
    client.delete_run(trial["run_id"])
    restoring = f"restore it: `mlflow runs restore --run-id {trial['run_id']}`"
    assert problems(place) == [f"the MLflow run of trial 0000 is deleted; {restoring}"]
    client.restore_run(trial["run_id"])
    assert problems(place) == []


def test_a_deleted_search_is_one_line(place: Workplace) -> None:
    client = connect(f"sqlite:///{place.folder}/paretune-runs/mlflow.db")
    (search,) = list_searches(client)
    client.delete_experiment(search.experiment_id)
    for arguments in (["doctor", "demo"], ["status", "demo"], ["export", "demo", "--out", "adapter"]):
        done = place.call(*arguments)
        assert done.returncode == 2
        assert "search 'demo': its experiment paretune is deleted in MLflow; restore it: `mlflow" in done.stderr
