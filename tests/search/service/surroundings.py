"""A service with what it stands on, all as real processes: a Ray head that runs jobs, MLflow, the service itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from search.service.client import Client
from search.service.tokens import make_token
from tests.conftest import Workplace, command
from tests.search.test_cluster import kill, start
from tests.search.test_interruption import wait_for


@dataclass
class Running:
    """A service at `url`; `token` may run, `reader` may look on."""

    place: Workplace
    url: str
    token: str
    reader: str
    tracking_uri: str
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Client:
        return Client(self.url, self.token)

    @property
    def storage(self) -> Path:
        return self.place.folder / "storage"

    def values(self, name: str, **sections: Any) -> dict[str, Any]:
        """A small spec."""
        import yaml

        values: dict[str, Any] = yaml.safe_load(self.place.spec(name, **sections).read_text())
        return values

    def get(self, path: str, **options: Any) -> requests.Response:
        """A request with the reader's token."""
        return requests.get(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {self.reader}"}, timeout=60, **options
        )

    def begin(self) -> None:
        """Start the service, and wait until it is ready."""
        log = self.place.folder / f"service-{time.monotonic_ns()}.txt"
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [command(), "serve", *self.arguments],
                cwd=self.place.folder,
                env=self.place.environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(lambda: answers(f"{self.url}/readyz"), self.process)  # type: ignore[arg-type]

    def end(self, number: int = signal.SIGTERM) -> None:
        """End the service."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait(30)


def answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=5).ok
    return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        found: int = one.getsockname()[1]
        return found


@contextlib.contextmanager
def surroundings(place: Workplace, *options: str, cpus: int = 2) -> Iterator[Running]:
    """A service on a Ray head of its own, with MLflow in a file."""
    ports = [free_port() for _ in range(3)]
    head = start(place.folder, "--head", f"--port={ports[0]}", f"--dashboard-port={ports[1]}", f"--num-cpus={cpus}")
    tokens = place.folder / "tokens"
    storage = place.folder / "storage"
    uri = f"sqlite:///{storage}/mlflow.db"
    running = Running(
        place,
        f"http://127.0.0.1:{ports[2]}",
        make_token(tokens, "ours", "run"),
        make_token(tokens, "eyes", "read"),
        uri,
    )
    roots = [part for root in (place.data, place.model) for part in ("--root", str(root))]
    jobs = f"http://127.0.0.1:{ports[1]}"
    places = ["--storage", str(storage), "--tracking-uri", uri, "--ray-jobs", jobs, "--tokens", str(tokens)]
    running.arguments = ["--port", str(ports[2]), *places, *roots, *options]
    try:
        running.begin()
        yield running
    finally:
        if running.process is not None:
            running.end(signal.SIGKILL)
        kill(head)
