"""Ray heads that take jobs, several of which may run on one machine."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def head_of(cpus: int, address: str = "127.0.0.1") -> Iterator[Head]:
    """A head on ports and in a folder of its own, which is taken away in the end.

    Ray tells a job that its cluster is the one that was started last in the head's folder. In the folder that heads
    share unless told, that may be any cluster of this machine.
    """
    gcs, dashboard, agent = (free_port() for _ in range(3))
    # A head whose agent finds its port taken runs, and accepts no job.
    ports = (f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}")
    # Not beside the rest: names of sockets, which are in it, may not be long.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        arguments = ("--head", f"--temp-dir={folder}", f"--node-ip-address={address}", *ports, f"--num-cpus={cpus}")
        yield Head(arguments, f"{address}:{gcs}", f"http://127.0.0.1:{dashboard}")
