"""Where a front is thin: how much a further trial of a size could add."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

ROOM = 0.25
"""What any size may still gain in quality, as a share of what the front has gained over the reference."""


@dataclass(frozen=True)
class Gap:
    """Sizes between two neighbours; `area`: width in powers of ten times the quality that a trial may gain there."""

    low: float
    high: float
    area: float


def gaps(
    front: Sequence[tuple[float, float]],
    running: Iterable[float],
    *,
    at_least: float,
    budget: float,
    reference: float,
) -> list[Gap]:
    """The gaps between the sizes of a front, of the trials that run, and the ends of the budget, ascending.

    A trial within a gap of the front gains at least nothing over the left neighbour, at most the rise to the right one,
    and what either of them leaves to gain: `ROOM` times the height of the front.

    Args:
        front: (quality, size) ascending in size; at the left stands the `reference`, the head alone.
        running: Sizes of trials without a quality; they divide the gap that they fall into.
    """
    inside = [(quality, min(max(size, at_least), budget)) for quality, size in front]
    heights = [reference, *(quality for quality, _ in inside)]
    edges = [at_least, *(size for _, size in inside), budget]
    room = ROOM * abs(heights[-1] - reference)
    waiting = sorted(min(max(size, at_least), budget) for size in running)
    found = []
    for position, (left, right) in enumerate(pairwise(edges)):
        rise = abs(heights[position + 1] - heights[position]) if position + 1 < len(heights) else 0.0
        ends = [left, *(size for size in waiting if left < size < right), right]
        for low, high in pairwise(ends):
            found.append(Gap(low, high, math.log10(high / low) * (rise + room)))
    return found


def draw_size(among: Sequence[Gap], generator: np.random.Generator) -> float:
    """A size within one of the gaps: each as often as its area says, and all sizes of one as often in its logarithm.

    Where no gap has an area, every size between the ends is as likely.
    """
    areas = np.array([gap.area for gap in among])
    if not areas.sum() > 0:
        low, high = among[0].low, among[-1].high
    else:
        chosen = among[int(generator.choice(len(among), p=areas / areas.sum()))]
        low, high = chosen.low, chosen.high
    return float(math.exp(generator.uniform(math.log(low), math.log(high))))
