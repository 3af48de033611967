"""Ray heads that take jobs, several of which may run on one machine."""

from __future__ import annotations

import socket
from dataclasses import dataclass


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        found: int = one.getsockname()[1]
        return found


@dataclass(frozen=True)
class Head:
    """A Ray head that is yet to be started: with what arguments, where nodes find it, and where it takes jobs."""

    arguments: tuple[str, ...]
    address: str
    jobs: str


def head_of(cpus: int, address: str = "127.0.0.1") -> Head:
    """A head on ports of its own."""
    gcs, dashboard, agent = (free_port() for _ in range(3))
    # A head whose agent finds its port taken runs, and accepts no job.
    ports = (f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}")
    arguments = ("--head", f"--node-ip-address={address}", *ports, f"--num-cpus={cpus}")
    return Head(arguments, f"{address}:{gcs}", f"http://127.0.0.1:{dashboard}")
