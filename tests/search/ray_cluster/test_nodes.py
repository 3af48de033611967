"""A task runs once on each node."""

from __future__ import annotations

import os

import pytest
import ray

from search.ray_cluster.nodes import alive_nodes, on_nodes
from tests.conftest import start_ray


@pytest.mark.integration
def test_each_node_answers_for_itself() -> None:
    start_ray()
    nodes = alive_nodes()
    assert [node["NodeID"] for node in nodes] == [ray.get_runtime_context().get_node_id()]

    def where(word: str) -> tuple[str, str, int]:
        return word, ray.get_runtime_context().get_node_id(), os.getpid()

    ((word, node, process),) = on_nodes(nodes, where, "here", timeout=60)
    assert (word, node) == ("here", nodes[0]["NodeID"])
    assert process != os.getpid()
    with pytest.raises(ray.exceptions.RayTaskError, match=r"ValueError: .*'word'"):
        on_nodes(nodes, lambda word: int(word), "word", timeout=60)
