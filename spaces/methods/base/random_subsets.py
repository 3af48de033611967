"""Random subsets of the entries of several tensors: how many are drawn, and which, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 18  # entries drawn from at once: what bounds the memory of a draw beside its result

Sizes = Sequence[int] | npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]


def exact_counts(sizes: Sizes, count: int, generator: np.random.Generator) -> Counts:
    """How many of `count` entries, drawn uniformly from all, fall into each tensor: multivariate hypergeometric.

    Each entry is first taken with the probability count / all, which gives independent binomial counts; the surplus
    is then taken back, or the lack made up, by entries drawn uniformly. By symmetry the subset is uniform among those
    of `count` entries. NumPy's own draw ends at 10⁹ entries.
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
    """`count` of the flat indices below `size`, uniformly and without repetition, ascending."""
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
    """How many of `size` entries are taken when each is with `probability`, independently: a binomial number.

    Every entry stands for a uniform number, and is taken when that lies below the probability. The numbers are not
    drawn: one halving after the other, a fair binomial draw says how many lie in the lower half, and only the half
    that holds the probability is halved again. So with one seed a larger probability never takes fewer entries.
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
    """A probability at which `bernoulli_count` is `count`, which is from 1 to `size`."""
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
