"""On a Ray cluster of two nodes made of real processes, and what is refused there."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Workplace
from tests.search.processes import results, wait_for, workers
from tests.search.ray_nodes import cluster, kill

pytestmark = pytest.mark.cluster


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with cluster(tmp_path, nodes=2) as running:
        yield running.address


def test_a_search_runs_on_both_nodes_of_a_cluster(workplace: Workplace, address: str) -> None:
    # Long enough for the actor on the second node to start while the first one trains.
    steps = {"max_steps": 3000}
    spec = workplace.spec(
        training=steps,
        search={"trials": 5, "rungs": 2, "concurrent": "auto"},
        confirm={"top": 1, "seeds": 1},
    )
    done = workplace.run("search", str(spec), "--address", address)
    assert done.returncode == 0, done.stderr
    trials = workplace.read("trials", "mine")["trials"]
    assert [trial["state"] for trial in trials] == ["finished"] * 5
    assert workplace.read("doctor", "mine")["healthy"]
    # Each node has one CPU: trainings that overlap in time ran on both.
    spans = sorted(_span(path) for path in workplace.home.glob("trials/*/result.json"))
    assert any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))
    wide = workplace.spec("wide", resources={"cpus": 2})
    refused = workplace.call("search", str(wide), "--address", address)
    assert refused.returncode == 2
    assert "resources" in refused.stderr
    assert not (workplace.folder / "paretune-runs" / "wide").exists()


def _span(result: Path) -> tuple[float, float]:
    """When a training began and when it had ended."""
    ended = result.stat().st_mtime
    return ended - json.loads(result.read_text())["train_seconds"], ended


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


def test_a_search_outlives_a_node(workplace: Workplace, tmp_path: Path) -> None:
    spec = workplace.spec(training={"max_steps": 540}, search={"trials": 3, "rungs": 3})
    with cluster(tmp_path, nodes=2) as running:
        driver = workplace.start("search", str(spec), "--address", running.address)
        wait_for(lambda: list(workplace.home.glob("trials/*/checkpoint.pt")), driver)
        busy = [node for node in running.nodes if workers(psutil.Process(node.pid).children(recursive=True))]
        kill(busy[0])
        _, errors = driver.communicate(timeout=200)
        assert driver.returncode == 0, errors
    trials = workplace.read("trials", "mine")["trials"]
    assert [trial["state"] for trial in trials] == ["finished"] * 3
    assert workplace.read("doctor", "mine")["problems"] == []
    for path in results(workplace):
        expected = [540] if path.parent.name == "reference" else [60, 180, 540]
        assert [rung["step"] for rung in json.loads(path.read_text())["rungs"]] == expected
