"""What `deploy/` describes, as real processes of one machine: PostgreSQL for MLflow and for Optuna's studies, an MLflow
server that keeps artifacts too, a Ray head that has no CPU and takes jobs, worker nodes, and the service.

Each worker node has a network of its own where the machine allows it, see `networks`. PostgreSQL and MLflow are reached
by the head, where drivers run, and by the service, but not by workers.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from search.client import Client
from tests.conftest import Workplace
from tests.search.databases import PostgreSQL, postgresql
from tests.search.heads import free_port, head_of
from tests.search.mlflow_server import serve, stop
from tests.search.processes import results_in, workers
from tests.search.ray_nodes import family, kill, start
from tests.search.service.networks import Network, Networks, networks
from tests.search.service.surroundings import Running, service_of

TRACKING, STUDIES = "mlflow", "optuna"


@dataclass
class Tracking:
    """An MLflow server, always at one address."""

    folder: Path
    port: int
    store: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> None:
        """Start it, and wait until it answers."""
        self.process = serve(self.folder, self.port, self.store)

    def end(self) -> None:
        """Kill it with all its processes."""
        if self.process is not None:
            stop(self.process)
            self.process = None


@dataclass
class Worker:
    """A node with one CPU that trains; `node` is the one that runs now."""

    folder: Path
    head: str
    network: Network
    node: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start a node, of which the cluster knows nothing."""
        arguments = [f"--address={self.head}", f"--node-ip-address={self.network.address}", "--num-cpus=1"]
        # On one machine the port would be taken by the agent of another node.
        arguments.append(f"--dashboard-agent-listen-port={free_port()}")
        self.node = start(self.folder, *arguments, within=self.network.within)

    def end(self) -> None:
        """Kill it with all its processes."""
        if self.node is not None:
            kill(self.node)

    @property
    def alive(self) -> bool:
        return self.node is not None and self.node.poll() is None

    @property
    def busy(self) -> bool:
        """Whether a trial was put there."""
        return self.node is not None and self.alive and bool(workers(family(self.node)))

    def cut(self) -> None:
        """Cut its network."""
        assert self.node is not None
        self.network.cut(self.node)

    def mend(self) -> None:
        """Bring its network back."""
        assert self.node is not None
        self.network.mend(self.node)


@dataclass(frozen=True)
class Topology:
    """All of it, running; every part can be ended and started again."""

    service: Running
    database: PostgreSQL
    tracking: Tracking
    workers: tuple[Worker, ...]
    networks: Networks

    @property
    def client(self) -> Client:
        return self.service.client

    def results(self, name: str) -> dict[Path, int]:
        """The results that a search has on its storage, each with the moment at which it was written."""
        return results_in(self.service.storage / name)

    def submissions(self, name: str) -> int:
        """How often the driver of a search was submitted."""
        return sum(job.rpartition("~")[0] == name for job in self.service.jobs.all())

    def heal(self) -> None:
        """Start worker nodes that ended."""
        for worker in self.workers:
            if not worker.alive:
                worker.end()
                worker.begin()


@contextlib.contextmanager
def topology(place: Workplace, *options: str, nodes: int = 2, password: str | None = None) -> Iterator[Topology]:
    """The whole, with `options` for the service; whatever happens, none of it outlives the block.

    `password`: that of the databases, which stands in PGPASSWORD.
    """
    with ExitStack() as ending:
        found = ending.enter_context(networks(nodes))
        database = ending.enter_context(postgresql(TRACKING, STUDIES))
        if password is not None:
            database.ask_for(password)
        tracking = Tracking(place.folder, free_port(), database.url(TRACKING, "postgresql+psycopg"))
        ending.callback(tracking.end)
        tracking.begin()
        head = ending.enter_context(head_of(0, found.head))
        service = service_of(place, head, tracking.uri, "--study-storage", database.url(STUDIES), *options)
        ending.callback(service.close)
        service.node = start(place.folder, *head.arguments)
        trainers = tuple(Worker(place.folder, head.address, network) for network in found.nodes)
        for one in trainers:
            ending.callback(one.end)
            one.begin()
        service.begin()
        yield Topology(service, database, tracking, trainers, found)
