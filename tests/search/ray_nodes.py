"""Ray nodes made of real processes, and clusters of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.search.heads import head_of
from tests.search.processes import wait_for

RAY = str(Path(sys.executable).parent / "ray")
# Ports that the system chooses: nodes of several clusters run side by side here.
PORTS = ("--min-worker-port=0", "--max-worker-port=0")
FIXED = ("--block", "--disable-usage-stats", "--object-store-memory=200000000", *PORTS)


@dataclass(frozen=True)
class Cluster:
    """A head without CPUs and nodes with one CPU each, as raylet processes of their own."""

    address: str
    head: subprocess.Popen[bytes]
    nodes: list[subprocess.Popen[bytes]]


@contextlib.contextmanager
def cluster(folder: Path, nodes: int) -> Iterator[Cluster]:
    with head_of(cpus=0) as head:
        running = Cluster(head.address, start(folder, *head.arguments, "--include-dashboard=false"), [])
        try:
            for _ in range(nodes):
                running.nodes.append(start(folder, f"--address={running.address}", "--num-cpus=1"))
            yield running
        finally:
            for node in (*running.nodes, running.head):
                kill(node)


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kill a node with all its processes, of which none has the time to say anything."""
    if node.poll() is None:
        for process in family(node):
            with contextlib.suppress(psutil.Error):
                process.kill()
        node.wait(30)


def family(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All processes of a node."""
    parent = psutil.Process(node.pid)
    return [*parent.children(recursive=True), parent]


def start(
    folder: Path, *arguments: str, within: Sequence[str] = (), auth: str | None = "disabled"
) -> subprocess.Popen[bytes]:
    """A Ray node, once it runs; only its own processes are ended later, for others may run on this machine.

    `within`: a command that runs the command behind it somewhere else, such as in a network namespace. `auth`: Ray's
    mode of authentication, which it chooses itself where that is None.
    """
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    mode = {} if auth is None else {"RAY_AUTH_MODE": auth}
    output = folder / f"node-{time.monotonic_ns()}.txt"
    with output.open("wb") as file:
        node = subprocess.Popen(
            [*within, RAY, "start", *arguments, *FIXED],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**environment, "PYTHONUNBUFFERED": "1", **mode},
            start_new_session=True,
        )
    try:
        wait_for(lambda: node.poll() is not None or "Ray runtime started" in output.read_text())
        assert node.poll() is None, output.read_text()
    except BaseException:
        kill(node)
        raise
    return node
