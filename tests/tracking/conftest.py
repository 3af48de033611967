"""Places to write a search to: MLflow on SQLite, and a real MLflow server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from spaces.spec.spec import SearchSpec
from tests.tracking.examples import Server, make_spec


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def spec(storage: Path) -> SearchSpec:
    return make_spec(storage)


@pytest.fixture
def uri(storage: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, storage / "mlflow.db")
    return f"sqlite:///{storage}/mlflow.db"


@pytest.fixture
def server(tmp_path: Path, empty_database: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    one = Server(folder)
    one.start()
    yield one
    one.stop()
