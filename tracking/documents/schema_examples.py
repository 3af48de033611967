"""Examples in the schemas of documents; the numbers are invented."""

from __future__ import annotations

from typing import Any

SEARCH = "sst2-under-0.3-percent"
OTHER = "sst2-under-0.1-percent"
BASE = "sentence-transformers/all-MiniLM-L6-v2"
CONFIG = {"targets": "qv", "layers": "all", "learning_rate": 0.002, "rank": 2}

BUDGET = {"parameters": 68_139, "at_least": 227, "bytes": None}
OBJECTIVE = {"metric": "accuracy", "mode": "max"}
COUNTS = {"finished": 15, "stopped": 4, "failed": 1, "rejected": 3}

POINT: dict[str, Any] = {
    "trial": "0012",
    "run_id": "8f14e45fceea4a7bb2f0a3a6cbd1b9f0",
    "method": "lora",
    "config": CONFIG,
    "quality": 0.83,
    "confirmed_quality": 0.826,
    "confirmed_std": 0.004,
    "test_quality": 0.82,
    "trainable_parameters": 18_432,
    "stored_parameters": 18_432,
    "head_parameters": 770,
    "adapter_bytes": 73_728,
    "steps": 300,
    "train_seconds": 91.5,
    "peak_memory_bytes": 402_653_184,
}

FRONT: dict[str, Any] = {
    "search": SEARCH,
    "base_model": BASE,
    "base_parameters": 22_713_216,
    "budget": BUDGET,
    "objective": OBJECTIVE,
    "reference": {"quality": 0.61},
    "hypervolume": 0.42,
    "trials": COUNTS,
    "front": [POINT],
    "best": POINT,
    "knee": POINT,
}

RUNGS: list[dict[str, Any]] = [
    {"step": 33, "quality": 0.71, "loss": 0.58, "quality_se": 0.016, "loss_se": 0.014},
    {"step": 100, "quality": 0.79, "loss": 0.49, "quality_se": 0.014, "loss_se": 0.015},
    {"step": 300, "quality": 0.83, "loss": 0.43, "quality_se": 0.013, "loss_se": 0.017},
]

TRIAL: dict[str, Any] = {
    "trial": "0012",
    "run_id": POINT["run_id"],
    "method": "lora",
    "state": "finished",
    "config": CONFIG,
    "quality": 0.83,
    "trainable_parameters": 18_432,
    "adapter_bytes": 73_728,
    "steps": 300,
    "train_seconds": 91.5,
    "reason": None,
    "rungs": RUNGS,
}

TRIALS: dict[str, Any] = {
    "search": SEARCH,
    "trials": [TRIAL],
    "reference": TRIAL | {"trial": "reference", "method": "head", "config": {}, "trainable_parameters": 0},
    "confirmations": [TRIAL | {"trial": "0012-1", "quality": 0.822, "confirms": "0012"}],
}

_LEADING = {
    "search": SEARCH,
    "trial": "0012",
    "method": "lora",
    "config": CONFIG,
    "quality": 0.83,
    "trainable_parameters": 18_432,
}
_COMPARED = {
    "search": SEARCH,
    "base_model": BASE,
    "reference": 0.61,
    "points": 5,
    "leading": 3,
    "hypervolume": 0.42,
    "best": _LEADING,
    "steps": [300],
}

COMPARISON: dict[str, Any] = {
    "objective": OBJECTIVE,
    "budget": BUDGET,
    "reference": {"quality": 0.61},
    "searches": [_COMPARED, _COMPARED | {"search": OTHER, "points": 4, "leading": 2, "hypervolume": 0.39}],
    "front": [_LEADING],
    "differences": ["training.max_steps: 300 in sst2, 75 in sst2-again"],
}
