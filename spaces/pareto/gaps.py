"""Gaps of a front: between which sizes a further trial could add most to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

ROOM = 0.25
"""Quality that any size may still gain, as a share of the quality that the front has gained over the reference."""


@dataclass(frozen=True)
class Gap:
    """The sizes between two neighbours; `area` is its width in powers of ten times the quality to be gained there."""

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
    """Return the gaps between the sizes of a front, those of running trials, and the ends of the budget, ascending.

    The quality to be gained in a gap of the front is the rise from its left neighbour to its right one, and beyond that
    `ROOM` times the height of the front.

    Args:
        front: (quality, size), ascending in size.
        running: sizes of trials without a quality; they divide the gap that contains them.
        at_least: the smallest size of interest, the left end.
        budget: the largest size, the right end.
        reference: the quality of the head alone, the left neighbour of the first gap.
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
    """Draw a size within one of the gaps: a gap in proportion to its area, then a size evenly in its logarithm.

    If no gap has an area, the size is drawn evenly, in its logarithm, between both ends.
    """
    areas = np.array([gap.area for gap in among])
    if not areas.sum() > 0:
        low, high = among[0].low, among[-1].high
    else:
        chosen = among[int(generator.choice(len(among), p=areas / areas.sum()))]
        low, high = chosen.low, chosen.high
    return float(math.exp(generator.uniform(math.log(low), math.log(high))))
