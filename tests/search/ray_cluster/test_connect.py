"""On a Ray cluster of two nodes made of real processes, and what is refused there."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from search.ray_cluster.connect import _check_answer, versions
from spaces.errors import RequestError
from tests.conftest import Workplace, command
from tests.search.heads import head_of
from tests.search.processes import results, wait_for, workers
from tests.search.ray_nodes import cluster, kill, start


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with cluster(tmp_path, nodes=2) as running:
        yield running.address


@pytest.mark.cluster
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


@pytest.mark.cluster
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


@pytest.mark.cluster
def test_a_node_with_another_version(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real node, that finds another paretune installed."""
    installed = workplace.folder / "installed"
    other = installed / "paretune-99.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: paretune\nVersion: 99.9\n")
    with head_of(cpus=1) as head:
        with monkeypatch.context() as there:
            there.setenv("PYTHONPATH", f"{installed}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
            node = start(workplace.folder, *head.arguments, "--include-dashboard=false")
        try:
            # The variable is of a cluster with tokens that was used before; this one has none. A process of its own,
            # for Ray of this one would keep what the command sets.
            done = subprocess.run(
                [command(), "search", str(workplace.spec()), "--address", head.address],
                cwd=workplace.folder,
                env=workplace.environment() | {"RAY_AUTH_MODE": "token"},
                capture_output=True,
                text=True,
                timeout=500,
                check=False,
            )
        finally:
            kill(node)
    assert done.returncode == 2, done.stderr
    assert " runs paretune 99.9, Python " in done.stderr
    assert f"allowed: the same as here, {versions()}" in done.stderr
    assert not workplace.home.parent.exists()


def test_a_node_that_does_not_see_the_storage() -> None:
    _check_answer("10.0.0.1", versions(), True, Path("/runs"))
    with pytest.raises(RequestError) as refused:
        _check_answer("10.0.0.1", versions(), False, Path("/runs"))
    assert str(refused.value) == (
        "storage = /runs: not visible from node 10.0.0.1; allowed: storage shared by all nodes"
    )
