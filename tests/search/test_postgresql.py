"""Optuna's study and MLflow's store on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Workplace
from tests.search.databases import PostgreSQL, postgresql
from tests.search.processes import results, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with postgresql("study", "tracking") as running:
        yield running


def test_a_search_keeps_its_study_and_its_runs_in_postgresql(workplace: Workplace, server: PostgreSQL) -> None:
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


@pytest.mark.cluster
def test_a_search_whose_study_goes_away_ends_with_one_line_and_is_resumed(
    workplace: Workplace, server: PostgreSQL
) -> None:
    spec = workplace.spec(search={"study_storage": server.url("study")}, training={"max_steps": 300})
    driver = workplace.start("search", str(spec))
    wait_for(lambda: len(results(workplace)) >= 2, driver)
    server.stop()
    _, errors = driver.communicate(timeout=200)
    assert driver.returncode == 1
    [line] = [one for one in errors.splitlines() if one.startswith("paretune: ")]
    assert "Traceback" not in errors
    assert "please report" not in errors
    assert "search.study_storage = postgresql://" in line
    assert line.endswith("`paretune resume mine` goes on")
    server.start()
    done = workplace.call("resume", "mine")
    assert done.returncode == 0, done.stderr
    assert [trial["state"] for trial in workplace.read("trials", "mine")["trials"]] == ["finished"] * 4
    assert workplace.read("doctor", "mine")["problems"] == []
