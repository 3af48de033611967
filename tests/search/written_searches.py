"""Searches as a driver leaves them in MLflow, written without one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spaces.model.budget import Budget
from tests.tracking.examples import finished, make_spec, plan
from tracking.mlflow_store.client import connect
from tracking.writing.search_writer import SearchWriter


def write_search(storage: Path, name: str, qualities: Sequence[float], *, base: str = "some/model") -> None:
    """Write a search whose trials of 1,000, 2,000, … parameters have these qualities, all of them confirmed.

    The reference has a quality of 0.5; a search without trials has none.
    """
    uri = f"sqlite:///{storage}/mlflow.db"
    connect(uri)
    spec = make_spec(storage, name)
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"path": base})})
    spec.home.mkdir()
    writer = SearchWriter(uri, spec, name, spec.home)
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    if qualities:
        head = plan("reference", kind="reference", parameters=0)
        writer.start_trial(head)
        writer.end_trial(head, finished(0.5))
    for number, quality in enumerate(qualities):
        one = plan(f"{number:04d}", parameters=1000 * (number + 1))
        writer.start_trial(one)
        writer.end_trial(one, finished(quality))
        writer.set_confirmed(one.trial, quality, 0.01, 0.5)
    writer.end_search("finished")
    assert writer.close(60) == 0
