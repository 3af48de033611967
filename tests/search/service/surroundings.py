"""A service with what it stands on, all as real processes: a Ray head that runs jobs, MLflow, the service itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from search.client import Client
from search.service.jobs.ray_jobs import Jobs
from search.service.security.tokens import make_token
from tests.conftest import Workplace, command
from tests.search.heads import Head, free_port, head_of
from tests.search.processes import wait_for
from tests.search.ray_nodes import kill, start

BY_LOSS: dict[str, Any] = {"objective": {"metric": "loss"}, "training": {"max_steps": 120}}
"""A quality by which trials beat the head soon, and no two of them are equal."""

FIRST: dict[str, Any] = {**BY_LOSS, "search": {"trials": 3}, "confirm": {"top": 1, "seeds": 1}}
"""Sections of the search that ran to its end."""


@dataclass
class Running:
    """A service at `url`; `token` may run, `reader` may look on."""

    place: Workplace
    url: str
    token: str
    reader: str
    tracking_uri: str
    jobs: Jobs
    head: tuple[str, ...]
    arguments: list[str]
    node: subprocess.Popen[bytes] | None = None
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

    def begin(self, sign: str = "/readyz") -> None:
        """Start the service, and wait until it is ready, or until another route answers."""
        self.process = self._serve(self.url, self.arguments, sign)

    @contextlib.contextmanager
    def another(self) -> Iterator[Client]:
        """A second service beside the first."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        process = self._serve(url, ["--port", str(port), *self.arguments[2:]])
        try:
            yield Client(url, self.token)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)

    def _serve(self, url: str, arguments: list[str], sign: str = "/readyz") -> subprocess.Popen[bytes]:
        log = self.place.folder / f"service-{time.monotonic_ns()}.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [command(), "serve", *arguments],
                cwd=self.place.folder,
                env=self.place.environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(lambda: answers(f"{url}{sign}"), process)  # type: ignore[arg-type]
        return process

    def kill_driver(self, name: str) -> None:
        """Kill the process that drives a search."""
        assert self.node is not None
        for process in psutil.Process(self.node.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                if "search.service.jobs.search_job" in line and name in line:
                    process.kill()

    def replace_head(self) -> None:
        """Kill the cluster, and start another one at its address, which knows nothing of the first."""
        assert self.node is not None
        kill(self.node)
        self.node = start(self.place.folder, *self.head)

    def end(self, number: int = signal.SIGTERM) -> None:
        """End the service."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait(30)

    def doctor(self, name: str) -> list[str]:
        """Where the records of a search do not agree."""
        places = ("--storage", str(self.storage), "--tracking-uri", self.tracking_uri)
        problems: list[str] = self.place.read("doctor", name, *places)["problems"]
        return problems

    def close(self) -> None:
        """End everything at once."""
        if self.process is not None:
            self.end(signal.SIGKILL)
        if self.node is not None:
            kill(self.node)


def answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=5).ok
    return False


def service_of(place: Workplace, head: Head, uri: str | None, *options: str) -> Running:
    """A service that was not started yet, nor its head; with MLflow in a file unless `uri` says where it is."""
    port, tokens, storage = free_port(), place.folder / "tokens", place.folder / "storage"
    uri = uri or f"sqlite:///{storage}/mlflow.db"
    roots = [part for root in (place.data, place.model) for part in ("--root", str(root))]
    places = ["--storage", str(storage), "--tracking-uri", uri, "--ray-jobs", head.jobs, "--tokens", str(tokens)]
    # Tests ask again and again, faster than anybody would.
    often = "--requests-per-minute=100000"
    return Running(
        place,
        f"http://127.0.0.1:{port}",
        make_token(tokens, "ours", "run"),
        make_token(tokens, "eyes", "read"),
        uri,
        Jobs(head.jobs),
        head.arguments,
        ["--port", str(port), often, *places, *roots, *options],
    )


@contextlib.contextmanager
def surroundings(place: Workplace, *options: str, cpus: int = 2) -> Iterator[Running]:
    """A service on a Ray head of its own, with MLflow in a file."""
    with head_of(cpus) as head:
        running = service_of(place, head, None, *options)
        try:
            running.node = start(place.folder, *running.head)
            running.begin()
            yield running
        finally:
            running.close()
