"""A Ray head that dies under a search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Workplace
from tests.search.processes import results, wait_for
from tests.search.ray_nodes import cluster, kill

pytestmark = pytest.mark.cluster


def test_a_search_goes_on_after_the_head_was_killed(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The trials after the first last longer than the driver waits.
    spec = workplace.spec(training={"max_steps": 630}, search={"trials": 3, "rungs": 3})
    with cluster(tmp_path, nodes=1) as running:
        # How long the driver waits for its head is a half of Ray's own patience, here as the driver alone is told.
        monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "8")
        driver = workplace.start("search", str(spec), "--address", running.address)
        wait_for(lambda: len(results(workplace)) >= 1, driver)
        wait_for(lambda: list(workplace.home.glob("trials/*/checkpoint.pt")), driver)
        kill(running.head)
        _, errors = driver.communicate(timeout=30)
        assert driver.returncode == 1
        [line] = errors.splitlines()
        assert line.startswith("paretune: the Ray head at ")
        assert line.endswith("has not answered for 4 s; `paretune resume mine` goes on")
        # The node, and on it the worker, do not know yet; what the worker still records may count or be refused.
        assert running.nodes[0].poll() is None
        before = results(workplace)
        monkeypatch.undo()
        done = workplace.call("resume", "mine")
        assert done.returncode == 0, done.stderr
    after = results(workplace)
    assert {path: after[path] for path in before} == before
    trials = workplace.read("trials", "mine")["trials"]
    assert [(trial["trial"], trial["state"]) for trial in trials] == [(f"{n:04d}", "finished") for n in range(3)]
    assert workplace.read("doctor", "mine")["problems"] == []
    for path in after:
        expected = [630] if path.parent.name == "reference" else [70, 210, 630]
        assert [rung["step"] for rung in json.loads(path.read_text())["rungs"]] == expected
