"""What workers may keep of a node's memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from search.ray_cluster.connect import start_here
from trainables.training.memory import KEPT_SHARE, spare_bytes

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def instance() -> Iterator[None]:
    ray.shutdown()
    start_here(num_cpus=4, num_gpus=2)
    yield
    ray.shutdown()


class Worker:
    def spare(self) -> int:
        return spare_bytes()


@pytest.mark.parametrize(
    ("cpus", "gpus", "at_once"), [(1, 0, 4), (2, 0, 2), (3, 0, 1), (0.5, 0, 8), (1, 1, 2), (1, 0.5, 4), (4, 0.25, 1)]
)
def test_as_many_workers_as_the_node_holds_share_alike(cpus: float, gpus: float, at_once: int) -> None:
    worker = ray.remote(Worker).options(num_cpus=cpus, num_gpus=gpus).remote()
    node = ray.cluster_resources()["memory"]
    assert ray.get(worker.spare.remote()) == int(KEPT_SHARE * node / at_once)
    ray.kill(worker)
