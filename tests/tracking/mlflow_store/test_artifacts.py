"""Adapters and specs come back as they went."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.errors import RequestError, WorkError
from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec
from tests.tracking.examples import plan
from tracking.mlflow_store.artifacts import fetch_adapter, fetch_spec
from tracking.mlflow_store.client import connect
from tracking.queries import trials_document
from tracking.writing.search_writer import SearchWriter


@pytest.fixture
def run_ids(uri: str, spec: SearchSpec, tmp_path: Path) -> list[str]:
    """Runs of two trials; the first keeps an adapter."""
    adapter = tmp_path / "made"
    (adapter / "nested").mkdir(parents=True)
    (adapter / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    (adapter / "nested" / "file").write_text("inside")
    writer = SearchWriter(uri, spec, "id", spec.home)
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    for trial in ("0000", "0001"):
        writer.start_trial(plan(trial))
    writer.upload_adapter("0000", adapter)
    assert writer.close(60) == 0
    return [one.run_id for one in trials_document(uri, "demo").trials]


def test_an_adapter_comes_back(uri: str, run_ids: list[str], tmp_path: Path) -> None:
    folder = fetch_adapter(uri, run_ids[0], tmp_path / "deep" / "copy")
    assert folder == tmp_path / "deep" / "copy" / "adapter"
    assert (folder / "adapter_model.safetensors").read_bytes() == bytes(range(256))
    assert (folder / "nested" / "file").read_text() == "inside"


def test_a_run_without_an_adapter_is_refused(uri: str, run_ids: list[str], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"MLflow run {run_ids[1]}: keeps no adapter; allowed: "):
        fetch_adapter(uri, run_ids[1], tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_the_spec_comes_back_from_a_trial_and_from_its_search(uri: str, run_ids: list[str], spec: SearchSpec) -> None:
    parent = connect(uri).get_run(run_ids[0]).data.tags["mlflow.parentRunId"]
    assert fetch_spec(uri, run_ids[0]) == spec
    assert fetch_spec(uri, parent) == spec


def test_a_run_of_no_search_has_no_spec(uri: str) -> None:
    foreign = connect(uri).create_run("0").info.run_id
    with pytest.raises(RequestError, match=f"MLflow run {foreign}: no spec.yaml"):
        fetch_spec(uri, foreign)


def test_a_run_that_is_not_there_is_one_line(uri: str, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="MLflow at sqlite:"):
        fetch_adapter(uri, "0" * 32, tmp_path)
