"""The batches of a split: endless seeded epochs, grouped by length, for training; one pass for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import numpy.typing as npt

from trainables.data.encoded_split import EncodedSplit

Indices = npt.NDArray[np.int64]


POOL = 16
"""Batches that are sorted by length together: more leave less padding, fewer mix better."""


def batches(lengths: npt.NDArray[np.int64], batch_size: int, seed: int, start_step: int = 0) -> Iterator[Indices]:
    """Yield endless batches of the indices of examples with these `lengths`.

    The epochs, each a permutation of its own drawn from (`seed`, epoch), follow one another without a gap: a batch may
    end one epoch and begin the next, so every batch has `batch_size` examples. A split smaller than that is one batch.
    Any step is reached directly, so a resumed run continues with the batches that it would have had.

    Within an epoch examples are drawn into pools of `POOL` batches. Each pool is cut into batches by length, so that
    there is little padding, and the batches of all pools come in random order.

    Args:
        lengths: lengths of the examples, shape (examples,).
        batch_size: examples of a batch.
        seed: decides the order.
        start_step: the number of the first batch, from 0.

    Raises:
        ValueError: when there is no example, or `batch_size` is below 1.
    """
    size = len(lengths)
    if size < 1 or batch_size < 1:
        raise ValueError(f"size = {size} and batch_size = {batch_size} must be at least 1")
    width = min(size, batch_size)
    epoch, offset = divmod(start_step * width, size)
    order = _epoch(lengths, width, seed, epoch)[offset:]
    for following in count(epoch + 1):
        while len(order) >= width:
            yield order[:width]
            order = order[width:]
        order = np.concatenate([order, _epoch(lengths, width, seed, following)])


def first_visits(lengths: npt.NDArray[np.int64], batch_size: int, seed: int) -> Indices:
    """Return every example once, in the order of its first batch: `batch_size` at a time, they are those batches."""
    return _epoch(lengths, min(len(lengths), batch_size), seed, 0)


def _epoch(lengths: npt.NDArray[np.int64], width: int, seed: int, epoch: int) -> Indices:
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    first = -epoch * len(lengths) % width  # examples that fill the last batch of the epoch before
    whole = first + (len(order) - first) // width * width
    pools = np.split(order[first:whole], range(POOL * width, whole - first, POOL * width))
    by_length = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    mixed = generator.permutation(np.concatenate(by_length).reshape(-1, width))
    return np.concatenate([order[:first], mixed.ravel(), order[whole:]])


def evaluation_batches(split: EncodedSplit, batch_size: int) -> Iterator[Indices]:
    """Yield every index once, longest examples first: there is little padding, and memory runs out at once or never.

    Results return to the order of the rows by `ordered[indices] = results`.

    Raises:
        ValueError: when `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size} must be at least 1")
    order = np.argsort(-split.lengths(), kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
