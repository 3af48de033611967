"""Runs of searches and trials are found in a real MLflow."""

from __future__ import annotations

import pytest

from spaces.spec.spec import SearchSpec
from tests.tracking.examples import plan
from tests.tracking.written import write
from tracking.mlflow_store import runs
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.runs import deleted_trials, find_search, read_trials
from tracking.queries import front_document, trials_document
from tracking.writing.search_writer import SearchWriter


def test_trials_of_many_pages_are_all_read_in_order(
    uri: str, spec: SearchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(uri, spec, "id", [0.6] * 7)
    writer = SearchWriter(uri, spec, "id", spec.home / "id")
    for trial in ("10000", "9999"):
        writer.start_trial(plan(trial))
    assert writer.close(60) == 0
    monkeypatch.setattr(runs, "_PAGE", 2)
    client = connect(uri)
    found = read_trials(client, find_search(client, "demo"))
    trials = [row.plan.trial for row in found if row.plan.kind == "trial"]
    assert trials == ["0000", "0001", "0002", "0003", "0004", "0005", "0006", "9999", "10000"]


def test_deleted_trials_are_known(uri: str, spec: SearchSpec) -> None:
    write(uri, spec, "id", [0.6, 0.7])
    client = connect(uri)
    search = find_search(client, "demo")
    gone = front_document(uri, "demo").front[-1]
    client.delete_run(gone.run_id)
    assert deleted_trials(client, search) == {gone.trial: gone.run_id}
    assert [one.trial for one in trials_document(uri, "demo").trials] == ["0000"]
