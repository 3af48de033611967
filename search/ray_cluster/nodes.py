"""A task on every node of the cluster, before a search begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def alive_nodes() -> list[dict[str, Any]]:
    """Return Ray's descriptions of the nodes that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def on_nodes(
    nodes: Sequence[dict[str, Any]], task: Callable[..., Any], *arguments: Any, timeout: float | None = None
) -> list[Any]:
    """Return the answers of a task that runs once on each of the nodes, beside whatever trains there.

    Raises:
        ray.exceptions.GetTimeoutError: when a node does not answer in time.
        ray.exceptions.RayError: when the task raises, or a node is lost.
    """
    remote = ray.remote(num_cpus=0, max_retries=0)(task)
    asked = [
        remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            *arguments
        )
        for node in nodes
    ]
    answers: list[Any] = ray.get(asked, timeout=timeout)
    return answers
