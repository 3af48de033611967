"""On a Ray cluster of two nodes made of real processes, and what is refused there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Workplace

pytestmark = pytest.mark.cluster

RAY = str(Path(sys.executable).parent / "ray")
PORT = 26379


@pytest.fixture
def address() -> Iterator[str]:
    """A head without CPUs and two nodes with one CPU each, as separate raylet processes."""
    quiet = {"capture_output": True, "text": True, "check": True}
    common = ["--disable-usage-stats", "--object-store-memory=200000000"]
    head = [RAY, "start", "--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false", *common]
    try:
        subprocess.run(head, **quiet)
        for _ in range(2):
            subprocess.run([RAY, "start", f"--address=127.0.0.1:{PORT}", "--num-cpus=1", *common], **quiet)
        yield f"127.0.0.1:{PORT}"
    finally:
        subprocess.run([RAY, "stop", "--force"], capture_output=True, check=False)


def test_a_search_runs_on_both_nodes_of_a_cluster(workplace: Workplace, address: str) -> None:
    spec = workplace.spec(training={"max_steps": 30}, search={"trials": 6, "rungs": 2}, confirm={"top": 1, "seeds": 1})
    done = workplace.run("search", str(spec), "--address", address)
    assert done.returncode == 0, done.stderr
    trials = json.loads(workplace.run("trials", "mine", "--json").stdout)["trials"]
    assert [trial["state"] for trial in trials] == ["finished"] * 6
    assert json.loads(workplace.run("doctor", "mine", "--json").stdout)["healthy"]
    states = [json.loads(file.read_text()) for file in workplace.home.glob("ray/search-*/experiment_state-*.json")]
    assert len(set(_nodes(states))) >= 2
    wide = workplace.spec("wide", resources={"cpus": 2})
    refused = workplace.run("search", str(wide), "--address", address)
    assert refused.returncode == 2
    assert "resources" in refused.stderr
    assert not (workplace.folder / "paretune-runs" / "wide").exists()


def _nodes(states: list[object]) -> list[int]:
    """Processes that trained; the two nodes have one CPU each, so two at once are on two nodes."""
    import re

    return [int(pid) for pid in re.findall(r'\\?"pid\\?": (\d+)', json.dumps(states))]
