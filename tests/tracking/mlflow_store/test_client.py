"""Connections, experiments and where artifacts go."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from spaces.errors import RequestError, WorkError
from tracking.mlflow_store.client import artifact_root, connect, ensure_experiment, reading


def test_an_experiment_is_made_once_with_its_artifacts_beside_the_database(uri: str, storage: Path) -> None:
    client = connect(uri)
    first = ensure_experiment(client, "paretune", artifact_root(uri, storage))
    assert ensure_experiment(client, "paretune", None) == first
    assert client.get_experiment(first).artifact_location == (storage / "mlartifacts").as_uri()


@pytest.mark.slow
def test_a_database_is_made_whole_or_not_at_all(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        connect(f"sqlite:///{storage}/mlflow.db")
    assert not list(storage.iterdir())


@pytest.mark.slow
def test_a_database_that_another_makes_at_the_same_time_is_kept(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def later(made: Path, file: Path, link: Callable[[Path, Path], None] = os.link) -> None:
        shutil.copy(made, file)
        ensure_experiment(MlflowClient(f"sqlite:///{file}"), "of another", None)
        link(made, file)

    monkeypatch.setattr(os, "link", later)
    client = connect(f"sqlite:///{storage}/mlflow.db")
    assert client.get_experiment_by_name("of another") is not None
    assert [path.name for path in storage.iterdir()] == ["mlflow.db"]


def test_a_deleted_experiment_is_refused_by_name(uri: str, storage: Path) -> None:
    client = connect(uri)
    client.delete_experiment(ensure_experiment(client, "gone", artifact_root(uri, storage)))
    with pytest.raises(RequestError, match=r"tracking\.experiment = gone: deleted in MLflow; allowed: another name"):
        ensure_experiment(client, "gone", None)


def test_artifacts_go_beside_sqlite_or_into_the_storage_or_where_the_server_says(tmp_path: Path) -> None:
    assert (
        artifact_root(f"sqlite:///{tmp_path}/deep/mlflow.db", Path("elsewhere"))
        == f"file://{tmp_path}/deep/mlartifacts"
    )
    assert artifact_root("postgresql+psycopg://host/db", tmp_path) == f"file://{tmp_path}/mlartifacts"
    assert artifact_root("https://host", tmp_path) is None


def test_what_fails_while_reading_is_one_line(uri: str) -> None:
    with pytest.raises(WorkError) as error, reading(uri) as client:
        client.get_run("no such\nrun")
    assert str(error.value).startswith(f"MLflow at {uri}: ")
    assert "\n" not in str(error.value)


def test_a_database_that_mlflow_cannot_use_is_a_wrong_address(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("CREATE TABLE experiments (x)")
    refusal = pytest.raises(RequestError, match=r"mlflow\.db: does not answer as MLflow \(")
    with refusal, reading(f"sqlite:///{tmp_path}/mlflow.db"):
        pass


def test_reading_refuses_before_it_connects(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"), reading(f"sqlite:///{tmp_path}/mlflow.db"):
        pass
    assert list(tmp_path.iterdir()) == []


SEARCH = """
import sys
from pathlib import Path
from tests.tracking.examples import finished, make_spec, plan
from spaces.model.budget import Budget
from tracking.queries import front_document, searches_document, trials_document
from tracking.mlflow_store.uri import resolve_uri
from tracking.writing.search_writer import SearchWriter
import tracking.mlflow_store.artifacts, tracking.reports.plots, tracking.reports.tables

storage = Path("runs")
spec = make_spec(storage)
uri = resolve_uri(None, None, storage)
writer = SearchWriter(uri, spec, "id", spec.home)
writer.start_search(Budget(50_000, 50), 1_000_000, 770)
writer.start_trial(plan("0000"))
writer.end_trial(plan("0000"), finished(0.75))
writer.end_search("finished")
assert writer.close(60) == 0
front_document(uri, "demo"), trials_document(uri, "demo"), searches_document(uri)
tracking.mlflow_store.artifacts.fetch_spec(uri, front_document(uri, "demo").front[0].run_id)
assert not {"torch", "ray"} & set(sys.modules), "heavy imports"
"""


@pytest.mark.slow
def test_a_search_is_written_and_read_in_silence_without_torch_and_ray(tmp_path: Path) -> None:
    """In a process of its own: nothing is printed, and nothing is left in the current folder but the storage."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PARETUNE"))}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", SEARCH], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["demo", "mlartifacts", "mlflow.db"]
