"""Which examples form which batch: endless seeded epochs for training, one pass by length for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import numpy.typing as npt

from trainables.data.encoded import EncodedSplit

Indices = npt.NDArray[np.int64]


def _epoch(size: int, seed: int, epoch: int) -> Indices:
    return np.random.default_rng([seed, epoch]).permutation(size)


def batches(size: int, batch_size: int, seed: int, start_step: int = 0) -> Iterator[Indices]:
    """Endless batches of indices below `size`, from the batch numbered `start_step` (from 0) on.

    The epochs, each a permutation of its own drawn from (`seed`, epoch), follow one another without a seam: a batch
    may end one epoch and begin the next, so every batch has `batch_size` examples. A split smaller than that is one
    batch. Any step is reached directly, so a resumed run goes on with the batches that it would have had.

    Raises:
        ValueError: `size` or `batch_size` is below 1.
    """
    if size < 1 or batch_size < 1:
        raise ValueError(f"size = {size} and batch_size = {batch_size} must be at least 1")
    width = min(size, batch_size)
    epoch, offset = divmod(start_step * width, size)
    order = _epoch(size, seed, epoch)[offset:]
    for following in count(epoch + 1):
        while len(order) >= width:
            yield order[:width]
            order = order[width:]
        order = np.concatenate([order, _epoch(size, seed, following)])


def evaluation_batches(split: EncodedSplit, batch_size: int) -> Iterator[Indices]:
    """Every index once, longest examples first: little padding, and memory runs out at once or never.

    Results go back to the order of the rows by `ordered[indices] = results`.

    Raises:
        ValueError: `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size} must be at least 1")
    order = np.argsort(-split.lengths(), kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
