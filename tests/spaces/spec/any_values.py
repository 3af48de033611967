"""Values of every kind for every field of a spec, more than JSON has."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

SPEC = {"name": "a", "model": {"path": "m"}, "data": {"train": "t.csv"}, "budget": {"parameters": 1}}

# Everything that Python's reader of JSON gives, which is more than JSON.
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
LEAVES |= st.sampled_from(["\ud800", "a\0", 10**400, -(2**63), float("nan"), float("inf"), "x" * 20_000])
ANY = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=20), inner), max_leaves=20)
FIELDS = [
    "name", "model.path", "model.revision", "data.train", "data.train.hub", "data.test", "data.text", "data.label",
    "data.max_length", "data.validation_fraction", "budget.parameters", "budget.at_least", "budget.bytes", "methods",
    "methods.lora", "methods.lora.rank", "methods.lora.targets", "training.max_steps", "training.warmup_steps",
    "objective.metric", "search.trials", "search.start_with", "search.start_from", "search.time_limit", "search.seed",
    "search.concurrent", "confirm.top", "resources.cpus", "resources.gpus", "tracking.experiment", "tracking.uri",
    "storage", "unknown",
]  # fmt: skip


def with_field(field: str, value: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(SPEC))
    node = values
    *path, last = field.split(".")
    for one in path:
        if not isinstance(node.get(one), dict):
            node[one] = {}
        node = node[one]
    node[last] = value
    return values


def nested(depth: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value
