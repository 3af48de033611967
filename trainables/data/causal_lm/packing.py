"""Several examples in a row, none of which attends to another."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trainables.data.encoded_split import IGNORED_LABEL, Batch, EncodedTokens, Indices

POSITIONS = "position_ids"


@dataclass(frozen=True)
class PackedTokens(EncodedTokens):
    """Rows of several examples, whose positions begin at 0 with each example.

    Without an attention mask, transformers tells by the positions where an example begins, and masks all tokens of
    others. `unpacked`: the number of examples.
    """

    unpacked: int = field(kw_only=True)

    @property
    def examples(self) -> int:
        return self.unpacked

    def inputs(self, indices: Indices) -> Batch:
        """Return int64 tensors of shape (batch, longest of the batch): the columns, `position_ids` among them."""
        batch = super().inputs(indices)
        del batch["attention_mask"]
        return batch


def pack(split: EncodedTokens, room: int) -> PackedTokens:
    """Put the examples of a split into rows of at most `room` tokens.

    A first token is learnt from nothing before it, so its label is ignored, as in a row of its own.

    Raises:
        ValueError: when an example is longer than `room`.
    """
    lengths = split.lengths()
    if lengths.max() > room:
        raise ValueError(f"an example has {lengths.max()} tokens; a row has room for {room}")
    rows = packs(lengths, room)
    order = np.concatenate(rows)
    places = np.concatenate([np.arange(split.offsets[one], split.offsets[one + 1]) for one in order])
    positions = np.concatenate([np.arange(lengths[one]) for one in order]).astype(np.int32)
    columns = {name: tokens[places] for name, tokens in split.columns.items()}
    columns["labels"] = np.where(positions == 0, np.int32(IGNORED_LABEL), columns["labels"])
    return PackedTokens(
        split.targets,
        {**columns, POSITIONS: positions},
        np.cumsum([0, *(int(lengths[row].sum()) for row in rows)], dtype=np.int64),
        {**split.padding, POSITIONS: 0},
        cut=split.cut,
        notes=split.notes,
        unpacked=len(split),
    )


def packs(lengths: npt.NDArray[np.int64], room: int) -> list[npt.NDArray[np.int64]]:
    """Return the examples of each row: the longest first, each into the fullest row that has room for it.

    Best-fit decreasing (Johnson, Near-Optimal Bin Packing Algorithms, 1973), as TRL packs.
    """
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # the room that is left in a row, and the row; ascending
    for example in np.argsort(-lengths, kind="stable"):
        length = int(lengths[example])
        place = bisect_left(free, (length, -1))
        left, row = free.pop(place) if place < len(free) else (room, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(int(example))
        insort(free, (left - length, row))
    return [np.array(row, dtype=np.int64) for row in rows]
