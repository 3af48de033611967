"""The reader of a task's targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from spaces.spec.sections import WRITING, Task
from spaces.spec.spec import SearchSpec
from trainables.data.encoded_split import Array
from trainables.data.tables import Column, Table
from trainables.data.targets.label_sets import LabelColumns, LabelLists
from trainables.data.targets.single import Classes, Numbers
from trainables.data.targets.tags import Tags


class TargetReader(Protocol):
    """Reads what is to be predicted for each row."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it reads."""

    def names(self, table: Table) -> tuple[str, ...]:
        """Return the names of the classes of the training split, in the order of the logits; none for numbers.

        Raises:
            RequestError: naming the row, when one cannot be used.
        """

    def read(self, table: Table, labels: Sequence[str]) -> Array:
        """Return the target of each row, of which `labels` are the classes.

        Raises:
            RequestError: naming the row, when one cannot be used.
        """

    def check(self, table: Table, targets: Array) -> None:
        """Refuse a split on which nothing can be learnt or measured.

        Raises:
            RequestError: when its targets are all equal.
        """

    def strata(self, targets: Array) -> Array | None:
        """Return the classes in whose proportions validation is drawn; None where rows have no one class."""


def target_reader(spec: SearchSpec) -> TargetReader | None:
    """Return the reader of `data.label`; None for tasks whose inputs hold what is to be learnt."""
    task, label = spec.model.task, spec.data.label
    if task in WRITING:
        return None
    if not isinstance(label, str):
        return LabelColumns(label)
    if task is Task.MULTI_LABEL_CLASSIFICATION:
        return LabelLists(label)
    if task is Task.TOKEN_CLASSIFICATION:
        return Tags(label, str(spec.data.tokens), chunks=spec.metric.name == "seqeval-f1")
    return Numbers(label) if task is Task.REGRESSION else Classes(label)
