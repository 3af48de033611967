"""The tags of words, for token-classification."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spaces.errors import RequestError
from trainables.data.column_checks import check_twins, class_names, class_positions, label_order
from trainables.data.encoded_split import Array
from trainables.data.tables import Column, Table, shown
from trainables.data.targets.list_columns import items, lists

_CHUNK_TAG = re.compile(r"O|[BIES](-.+)?")


@dataclass(frozen=True)
class Tags:
    """Reads a column of lists, one tag a word.

    Attributes:
        column: the column of tags.
        words: the column of words.
        chunks: whether the tags must mark chunks, which the metric seqeval-f1 counts.
    """

    column: str
    words: str
    chunks: bool

    @property
    def columns(self) -> tuple[Column, ...]:
        return (("data.label", self.column),)

    def names(self, table: Table) -> tuple[str, ...]:
        """Return the tags that occur, in order.

        Raises:
            RequestError: naming the row, when a tag is missing, means the same as another one, or marks no chunk.
        """
        flat = items(table, self.column, lists(table, self.column, "tags"))
        names = class_names(flat, self.column)
        check_twins(flat, self.column, names)
        if self.chunks:
            for position, name in enumerate(names):
                if not _CHUNK_TAG.fullmatch(name):
                    raise flat.problem(
                        position,
                        f"tag {shown(name)} marks no chunk, which objective.metric = seqeval-f1 counts; allowed: O and "
                        "tags such as B-PER and I-PER, or metric accuracy",
                    )
        return label_order(names)

    def read(self, table: Table, labels: Sequence[str]) -> Array:
        """Return the position of each word's tag in `labels`: an array of int64 arrays, shape (rows,).

        Raises:
            RequestError: naming the row, when it has more or fewer tags than words, or a tag that is not in `labels`.
        """
        tags, words = lists(table, self.column, "tags"), lists(table, self.words, "words")
        for position, (one, other) in enumerate(zip(tags, words, strict=True)):
            if len(one) != len(other):
                raise table.problem(
                    position,
                    f"column {self.column!r} has {len(one)} tags, column {self.words!r} {len(other)} words; allowed: "
                    "one tag a word",
                )
        flat = class_positions(items(table, self.column, tags), self.column, labels)
        found = np.empty(len(tags), dtype=object)
        found[:] = np.split(flat, np.cumsum([len(one) for one in tags])[:-1])
        return found

    def check(self, table: Table, targets: Array) -> None:
        """Refuse a split in which every word has the same tag.

        Raises:
            RequestError: when nothing can be learnt or measured on it.
        """
        if len(np.unique(np.concatenate(targets))) < 2:
            tag = shown(next(one[0] for one in table.columns[self.column] if len(one)))
            raise RequestError(
                f"{table.field} = {table.source}: every word has the tag {tag}; allowed: two tags or more"
            )

    def strata(self, targets: Array) -> None:
        """Return None: rows have no one class by which to draw them."""
