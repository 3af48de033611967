"""What may happen to a search in its middle."""

from __future__ import annotations

import random
import signal
import time

import requests

from spaces.spec.spec import SearchSpec, parse_spec
from tests.bench.faults.runs import Strike, is_over
from tests.search.processes import wait_for
from tests.search.service.topology import Topology, Worker

NODE_SECONDS = 10.0
POSTGRESQL_SECONDS = 30.0
MLFLOW_SECONDS = 60.0
NETWORK_SECONDS = 30.0
MAX_QUEUED = 2


def nothing(deployed: Topology, name: str) -> list[str]:
    return []


def kill_worker(deployed: Topology, name: str) -> list[str]:
    worker = _busy(deployed)
    worker.end()
    time.sleep(NODE_SECONDS)
    worker.begin()
    return []


def kill_driver(deployed: Topology, name: str) -> list[str]:
    deployed.service.kill_driver(name)
    return []


def stop_postgresql(deployed: Topology, name: str) -> list[str]:
    deployed.database.stop()
    time.sleep(POSTGRESQL_SECONDS)
    deployed.database.start()
    return []


def stop_mlflow(deployed: Topology, name: str) -> list[str]:
    deployed.tracking.end()
    time.sleep(MLFLOW_SECONDS)
    deployed.tracking.begin()
    return []


def restart_service(deployed: Topology, name: str) -> list[str]:
    deployed.service.end(signal.SIGKILL)
    deployed.service.begin()
    return []


def cut_network(deployed: Topology, name: str) -> list[str]:
    worker = _busy(deployed)
    worker.cut()
    time.sleep(NETWORK_SECONDS)
    worker.mend()
    return []


def fill_queue(deployed: Topology, name: str) -> list[str]:
    """As many searches as may wait are asked for, and one more, which is refused until there is room again."""
    wrong = []
    waiting = [_small(deployed, f"{name}-{number}") for number in range(MAX_QUEUED)]
    beyond = _small(deployed, f"{name}-beyond")
    for one in waiting:
        if (status := _launch(deployed, one)) != 201:
            wrong.append(f"{one.name}: {status} in the place of 201")
    if (status := _launch(deployed, beyond)) != 429:
        wrong.append(f"{beyond.name}: {status} in the place of 429")
    for one in waiting:
        wait_for(lambda one=one: is_over(deployed, one.name))  # type: ignore[misc]
    if any(one.search == beyond.name for one in deployed.client.searches().searches):
        wrong.append(f"{beyond.name}: was refused and is known")
    if (status := _launch(deployed, beyond)) != 201:
        wrong.append(f"{beyond.name}: {status} in the place of 201, with room again")
    for one in (*waiting, beyond):
        if (state := deployed.client.wait(one.name).state) != "finished":
            wrong.append(f"{one.name}: {state}")
        if (jobs := deployed.submissions(one.name)) != 1:
            wrong.append(f"{one.name}: submitted {jobs} times")
    return wrong


STRIKES: dict[str, tuple[str, Strike]] = {
    "worker": (f"a worker node is killed, another starts after {NODE_SECONDS:g} s", kill_worker),
    "driver": ("the driver is killed", kill_driver),
    "postgresql": (f"PostgreSQL is stopped for {POSTGRESQL_SECONDS:g} s", stop_postgresql),
    "mlflow": (f"MLflow is killed, and away for {MLFLOW_SECONDS:g} s", stop_mlflow),
    "queue": ("the queue is full, and one search more is asked for", fill_queue),
    "service": ("the service is killed and started again", restart_service),
    "network": (f"a worker's network is cut for {NETWORK_SECONDS:g} s", cut_network),
}


def _busy(deployed: Topology) -> Worker:
    """A node on which a trial is, chosen without favour but always in the same way."""
    return random.Random(0).choice([one for one in deployed.workers if one.busy])


def _small(deployed: Topology, name: str) -> SearchSpec:
    return parse_spec(deployed.service.values(name, search={"trials": 1}))


def _launch(deployed: Topology, spec: SearchSpec) -> int:
    """The status with which the service answers."""
    token = {"Authorization": f"Bearer {deployed.service.token}"}
    values = spec.model_dump(mode="json", exclude_unset=True)
    return requests.post(f"{deployed.service.url}/v1/searches", json=values, headers=token, timeout=60).status_code
