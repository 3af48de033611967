"""Random subsets of the entries of several tensors: their sizes and places, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 18  # entries drawn from at once, which bounds the memory of a draw beside its result

Sizes = Sequence[int] | npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]


def exact_counts(sizes: Sizes, count: int, generator: np.random.Generator) -> Counts:
    """Draw how many of `count` entries fall into each tensor when they are drawn uniformly from all entries.

    The counts have a multivariate hypergeometric distribution, whose implementation in NumPy is limited to 10⁹ entries.
    Each entry is first taken with the probability count / all, which gives independent binomial counts. Then entries
    drawn uniformly are given back, or added, until there are `count`. By symmetry every subset of `count` entries is
    equally likely.

    Args:
        sizes: entries of each tensor.
        count: entries to draw, at most all.
        generator: the source of randomness.

    Returns:
        The number of entries drawn from each tensor, shape (tensors,).
    """
    all_entries = np.asarray(sizes, dtype=np.int64)
    total = int(all_entries.sum())
    counts = generator.binomial(all_entries, count / max(1, total))
    surplus = int(counts.sum()) - count
    pool = counts if surplus > 0 else all_entries - counts
    moved = generator.choice(int(pool.sum()), size=abs(surplus), replace=False, shuffle=False)
    owners = np.searchsorted(np.cumsum(pool), moved, side="right")
    change: Counts = np.bincount(owners, minlength=len(pool))
    return counts - change if surplus > 0 else counts + change


def places(size: int, count: int, generator: np.random.Generator) -> Places:
    """Draw `count` of the flat indices below `size`, uniformly and without repetition, and return them ascending."""
    sizes = np.full(-(-size // _BLOCK), _BLOCK, dtype=np.int64)
    sizes[-1] = size - _BLOCK * (len(sizes) - 1)
    chosen = np.empty(count, dtype=np.int32)
    end = 0
    for number, (block, taken) in enumerate(zip(sizes, exact_counts(sizes, count, generator), strict=True)):
        drawn = generator.choice(block, size=taken, replace=False, shuffle=False)
        drawn.sort()
        chosen[end : end + taken] = drawn + number * _BLOCK
        end += taken
    return chosen


def bernoulli_count(size: int, probability: float, seed: int) -> int:
    """Draw the number of entries that are taken when each of `size` is, independently, with `probability`: binomial.

    Think of a uniform number for every entry, which is taken when its number is below the probability. The numbers
    themselves are not drawn. The unit interval is halved repeatedly: a fair binomial draw tells how many numbers are
    in the lower half, and the half that contains the probability is halved next. So with the same seed a larger
    probability never takes fewer entries.
    """
    if probability >= 1:
        return size
    taken, inside, low, width, path = 0, size, 0.0, 1.0, 1
    while inside and low < probability:
        lower = _in_lower_half(inside, path, seed)
        width /= 2
        path *= 2
        if probability >= low + width:
            taken, inside, low, path = taken + lower, inside - lower, low + width, path + 1
        else:
            inside = lower
    return taken


def bernoulli_probability(size: int, count: int, seed: int) -> float:
    """Return a probability at which `bernoulli_count` is `count`, a number from 1 to `size`."""
    if count >= size:
        return 1.0
    taken, inside, low, width, path = 0, size, 0.0, 1.0, 1
    while taken < count:
        lower = _in_lower_half(inside, path, seed)
        width /= 2
        path *= 2
        if taken + lower <= count:
            taken, inside, low, path = taken + lower, inside - lower, low + width, path + 1
        else:
            inside = lower
    return low


def _in_lower_half(inside: int, path: int, seed: int) -> int:
    return int(np.random.default_rng((seed, path)).binomial(inside, 0.5))
