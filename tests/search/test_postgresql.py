"""Optuna's study and MLflow's store on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Workplace
from tests.search.databases import PostgreSQL, postgresql

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with postgresql(tmp_path_factory.mktemp("postgresql"), "study", "tracking") as running:
        yield running


def test_a_search_keeps_its_study_and_its_runs_in_postgresql(
    workplace: Workplace, server: PostgreSQL, tmp_path: Path
) -> None:
    study, tracking = server.url("study"), server.url("tracking", "postgresql+psycopg")
    spec = workplace.spec(search={"study_storage": study})
    done = workplace.call("search", str(spec), "--tracking-uri", tracking)
    assert done.returncode == 0, done.stderr
    assert not (workplace.home / "optuna.db").exists()
    assert not (workplace.home.parent / "mlflow.db").exists()
    trials = workplace.read("trials", "mine", "--tracking-uri", tracking)["trials"]
    assert [trial["state"] for trial in trials] == ["finished"] * 4
    doctor = workplace.read("doctor", "mine", "--tracking-uri", tracking)
    assert doctor["problems"] == []
