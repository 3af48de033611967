"""The priors of the demo's methods follow from the trainings that are recorded, which are the demo's."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

import spaces
from spaces.methods.registry import method
from spaces.spec.spec import load_spec
from tests.bench.learning_rates import DEMO_METHODS, HEAD, RECORD
from tests.bench.trainings import RATED, TASKS

RECIPE = load_spec(Path(spaces.__file__).parent / "recipes" / "word-order.yaml")


def recorded(name: str) -> dict[str, dict[float, float]]:
    """By task, the validation score of the first seed at every rate."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    tasks = {TASKS[task].with_head_at(HEAD).name: task for task in RATED}
    for line in map(json.loads, RECORD.read_text(encoding="utf-8").splitlines()):
        if line["method"] == name and line["seed"] == 0 and line["task"] in tasks and not line["failed"]:
            found[tasks[line["task"]]][json.loads(line["config"])["learning_rate"]] = line["validation"]
    return found


@pytest.mark.parametrize("name", DEMO_METHODS)
def test_a_prior_lies_where_rates_on_both_sides_are_good(name: str) -> None:
    prior, found = method(name).learning_rate, recorded(name)
    assert len(found) > 1
    for task, scores in found.items():
        below, above = max(rate for rate in scores if rate <= prior), min(rate for rate in scores if rate >= prior)
        assert min(scores[below], scores[above]) > max(scores.values()) - 0.03, task


def test_the_recorded_trainings_are_the_demos() -> None:
    training, task = RECIPE.training, TASKS["word-order"].with_head_at(HEAD)
    assert (training.max_steps, training.per_device_train_batch_size) == (task.max_steps, task.batch)
    assert (training.head_learning_rate, RECIPE.data.max_length) == (task.head_learning_rate, task.max_length)
    assert tuple(RECIPE.methods) == DEMO_METHODS
