"""The references of a split, as a metric of the user's own takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spaces.spec.sections import WRITING, Task
from spaces.spec.spec import SearchSpec
from trainables.data.encoded_split import IGNORED_LABEL, EncodedSplit
from trainables.evaluation.own_metric import named
from trainables.generation.answers import answer_in


def references_of(spec: SearchSpec, split: EncodedSplit, labels: Sequence[str]) -> list[Any]:
    """Return the references of a split in the order of its rows; see `trainables.evaluation.own_metric`.

    Args:
        spec: the spec; of models that write, with `objective.generation`.
        split: the split.
        labels: the names of the classes.
    """
    task = spec.model.task
    if task in WRITING:
        assert split.prompted is not None, "answers are asked for by a spec with objective.generation"
        settings = spec.objective.generation
        pattern = None if settings is None else settings.answer
        return [answer_in(text, pattern) or "" for text in split.prompted.references]
    if task is Task.TOKEN_CLASSIFICATION:
        return [_tags(split, row, labels) for row in range(len(split))]
    assert split.targets is not None, "only tokens and answers are no targets of their own"
    return named(task, split.targets, labels)


def _tags(split: EncodedSplit, row: int, labels: Sequence[str]) -> list[str]:
    found = split.take(np.array([row]))["labels"][0]
    return named(Task.TOKEN_CLASSIFICATION, found[found != IGNORED_LABEL].numpy(), labels)
