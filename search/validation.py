"""A spec checked with its model and its data, and the search that it describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from search.documents.commands import CutRows, ValidateDocument
from search.storage import search_folder
from spaces.spec.sections import WRITING, Task
from spaces.spec.spec import SearchSpec

if TYPE_CHECKING:
    from search.driver.preflight import Prepared


def validate(spec: SearchSpec, announced: Callable[[str], object] | None = None) -> ValidateDocument:
    """Check a spec, its model and its data, and describe the search; nothing is trained.

    Args:
        announced: called with a line before each step that takes a while.

    Raises:
        RequestError: naming field, value and what is allowed.
    """
    from search.driver.preflight import absolute, prepare

    spec = absolute(spec)
    search_folder.check_name(spec.name)
    prepared = prepare(spec, announced)
    budget, confirm = prepared.budget, spec.confirm
    return ValidateDocument(
        search=spec.name,
        base_model=spec.model.path,
        base_parameters=prepared.inventory.base_parameters,
        head_parameters=prepared.inventory.head_parameters,
        budget={"parameters": budget.parameters, "at_least": budget.at_least, "bytes": budget.bytes},
        methods=list(prepared.space.names),
        dropped=[name for name in spec.methods if name not in prepared.space.names],
        labels=list(prepared.labels),
        rows={"train": prepared.train.examples, "validation": prepared.validation.examples},
        cut=_cut(prepared),
        notes=list(prepared.notes),
        trials=spec.search.trials,
        trainings=1 + spec.search.trials + confirm.top * confirm.seeds,
        max_steps=spec.training.max_steps,
        metric=spec.metric.name,
        positive=prepared.spec.objective.positive,
    )


def _cut(prepared: Prepared) -> dict[str, CutRows]:
    """Count the rows that are cut, by split; images have no tokens, so they have no entry."""
    task = prepared.spec.model.task
    if task is Task.IMAGE_CLASSIFICATION:
        return {}
    return {
        name: CutRows(
            rows=split.cut.rows,
            share=split.cut.rows / split.examples,
            responses=split.cut.responses if task in WRITING else None,
            longest=split.cut.longest,
        )
        for name, split in (("train", prepared.train), ("validation", prepared.validation))
    }
