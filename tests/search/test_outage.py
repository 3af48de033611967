"""MLflow stops in the middle of a search: the search goes on, and what was not sent is sent later."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from search.service.jobs.exit_codes import AWAY
from tests.conftest import Workplace
from tests.search.mlflow_server import serve, stop
from tests.search.processes import results, wait_for

pytestmark = pytest.mark.cluster


def test_a_search_outlives_mlflow(workplace: Workplace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    server = serve(workplace.folder, port)
    try:
        driver = workplace.start("search", str(workplace.spec(training={"max_steps": 60})), "--tracking-uri", uri)
        wait_for(lambda: len(results(workplace)) >= 1, driver)
    finally:
        stop(server)
    output, errors = driver.communicate(timeout=200)
    assert driver.returncode == 0, errors
    assert "resume mine" in output
    assert "best" in output
    # To the service's driver that is an outage, after which there is another one, and no wrong request.
    module = (sys.executable, "-m", "search.service.jobs.search_job", "mine")
    places = ("--storage", str(workplace.home.parent), "--tracking-uri", uri)
    later = subprocess.run([*module, *places], capture_output=True, text=True, timeout=100, check=False)
    assert later.returncode == AWAY
    assert "nothing answers" in later.stderr
    server = serve(workplace.folder, port)
    try:
        done = workplace.call("resume", "mine", "--tracking-uri", uri)
        assert done.returncode == 0, done.stderr
        trials = workplace.read("trials", "mine", "--tracking-uri", uri)["trials"]
        assert [trial["state"] for trial in trials] == ["finished"] * 4
        doctor = workplace.read("doctor", "mine", "--tracking-uri", uri)
        assert doctor["problems"] == []
        front = workplace.read("front", "mine", "--tracking-uri", uri)
        assert all(point["run_id"] for point in front["front"])
        for kept in (workplace.home / "front.json", *(workplace.folder / "artifacts").rglob("front.json")):
            assert json.loads(kept.read_text()) == front
        out = workplace.call("export", "mine", "--tracking-uri", uri, "--out", "adapter")
        assert out.returncode == 0, out.stderr
    finally:
        stop(server)
