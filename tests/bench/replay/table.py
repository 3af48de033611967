"""The recorded table of real trainings, as `tests.bench.search_table` wrote it."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaces.methods.base.method import Configuration
from spaces.methods.registry import configuration
from spaces.model.budget import Budget
from spaces.space.proposal import signature

TABLE = Path(__file__).parents[1] / "search_table.jsonl"
HEAD = "head"
"""In the place of a method: the task head alone was trained, as a search's reference."""


@dataclass(frozen=True)
class Training:
    """One training; `quality` at every rung."""

    method: str
    configuration: Configuration
    parameters: int
    seed: int
    quality: tuple[float, ...]


@dataclass(frozen=True)
class TabledTask:
    """A task with its trainings. `first`: every configuration once; `repeats`: those trained on several seeds."""

    name: str
    metric: str
    steps: tuple[int, ...]
    validation_rows: int
    budget: Budget
    reference: float
    first: tuple[Training, ...]
    repeats: tuple[tuple[Training, ...], ...]


def read_table(path: Path, rungs: int) -> tuple[dict[str, Any], dict[str, TabledTask]]:
    """The versions that the table was recorded with, and its tasks with their last `rungs` rungs."""
    first, *lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    tasks = first.pop("tasks")
    return first, {
        name: _task(name, facts, [line for line in lines if line["task"] == name], rungs)
        for name, facts in tasks.items()
    }


def _task(name: str, facts: dict[str, Any], lines: list[dict[str, Any]], rungs: int) -> TabledTask:
    reference = statistics.mean(line["quality"][-1] for line in lines if line["method"] == HEAD)
    groups: dict[str, list[Training]] = {}
    for line in lines:
        if line["method"] != HEAD:
            # A training that diverged knows no more than the head alone.
            quality = line["quality"] + [reference] * (len(facts["steps"]) - len(line["quality"]))
            settings = configuration(line["method"], line["config"])
            training = Training(line["method"], settings, line["parameters"], line["seed"], tuple(quality[-rungs:]))
            same = signature(line["method"], settings.model_dump(mode="json", exclude={"seed"}))
            groups.setdefault(same, []).append(training)
    return TabledTask(
        name=name,
        metric=facts["metric"],
        steps=tuple(facts["steps"][-rungs:]),
        validation_rows=facts["validation_rows"],
        budget=Budget(facts["budget"], facts["at_least"]),
        reference=reference,
        first=tuple(min(group, key=lambda one: one.seed) for group in groups.values()),
        repeats=tuple(tuple(group) for group in groups.values() if len(group) > 1),
    )
