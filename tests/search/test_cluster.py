"""On a Ray cluster of two nodes made of real processes, and what is refused there."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Workplace
from tests.search.test_interruption import wait_for

pytestmark = pytest.mark.cluster

RAY = str(Path(sys.executable).parent / "ray")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A head without CPUs and two nodes with one CPU each, as raylet processes of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = []
    try:
        nodes.append(start(tmp_path, "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"))
        nodes.append(start(tmp_path, f"--address=127.0.0.1:{port}", "--num-cpus=1"))
        nodes.append(start(tmp_path, f"--address=127.0.0.1:{port}", "--num-cpus=1"))
        yield f"127.0.0.1:{port}"
    finally:
        started = [psutil.Process(node.pid) for node in nodes]
        for process in [one for parent in started for one in (*parent.children(recursive=True), parent)]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        for node in nodes:
            node.wait(30)


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A Ray node, once it runs; only its own processes are ended later, for others may run on this machine."""
    output = folder / f"node-{time.monotonic_ns()}.txt"
    with output.open("wb") as file:
        node = subprocess.Popen(
            [RAY, "start", *arguments, "--block", "--disable-usage-stats", "--object-store-memory=200000000"],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "RAY_AUTH_MODE": "disabled"},
            start_new_session=True,
        )
    wait_for(lambda: "Ray runtime started" in output.read_text())
    return node


def test_a_search_runs_on_both_nodes_of_a_cluster(workplace: Workplace, address: str) -> None:
    # Long enough for the actor on the second node to start while the first one trains.
    steps = {"max_steps": 1500}
    spec = workplace.spec(
        training=steps, search={"trials": 5, "rungs": 2, "concurrent": "auto"}, confirm={"top": 1, "seeds": 1}
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
    refused = workplace.run("search", str(wide), "--address", address)
    assert refused.returncode == 2
    assert "resources" in refused.stderr
    assert not (workplace.folder / "paretune-runs" / "wide").exists()


def _span(result: Path) -> tuple[float, float]:
    """When a training began and when it had ended."""
    ended = result.stat().st_mtime
    return ended - json.loads(result.read_text())["train_seconds"], ended
