"""Front, hypervolume and knee of quality against a count: exact, for two objectives.

Optuna has the first two in private modules only. The hypervolume is tested against its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from spaces.spec.metrics import Mode

T = TypeVar("T")


def front(items: Iterable[T], quality: Callable[[T], float], size: Callable[[T], float], mode: Mode) -> list[T]:
    """Return the items that no other dominates in quality and size, ascending in size.

    An item is dominated when another is at least as good in both and better in one. Of several with the same quality
    and size the first given is kept. Items whose quality is not finite are left out.

    Args:
        items: in any order.
        quality: reads the quality of an item.
        size: reads the size of an item, of which less is better.
        mode: direction of the quality.

    Example:
        >>> front([(0.7, 100), (0.6, 200), (0.8, 300)], lambda one: one[0], lambda one: one[1], "max")
        [(0.7, 100), (0.8, 300)]
    """
    sign = 1.0 if mode == "max" else -1.0
    finite = [item for item in items if math.isfinite(quality(item))]
    kept: list[T] = []
    best = -math.inf
    for item in sorted(finite, key=lambda one: (size(one), -sign * quality(one))):
        if sign * quality(item) > best:
            best = sign * quality(item)
            kept.append(item)
    return kept


def hypervolume(
    points: Iterable[tuple[float, float]],
    *,
    at_least: float,
    budget: float,
    reference: float,
    perfect: float,
) -> float:
    """Return the area in [0, 1] that points dominate.

    The axes are log10 of the size from `at_least` to `budget`, and the quality from `reference` to `perfect`, both
    scaled to [0, 1]. If `at_least` is the budget, the area is the limit of a narrow range: the best height.

    Args:
        points: (quality, size). Points at or below the reference, over the budget or without a finite quality add
            nothing; points under `at_least` count as if they were on it.
        at_least: the smallest size of interest.
        budget: the largest size.
        reference: the quality of the head alone.
        perfect: the best possible quality; the direction of the metric follows from it and the reference.

    Raises:
        ValueError: when `at_least` is above `budget`, or not above 0.
    """
    if not 0 < at_least <= budget:
        raise ValueError(f"at_least = {at_least} must lie above 0 and at most at the budget of {budget}")
    if reference == perfect:
        return 0.0
    width = math.log10(budget / at_least)
    scaled = []
    for quality, size in points:
        height = (quality - reference) / (perfect - reference)
        if math.isfinite(height) and height > 0 and size <= budget:
            across = math.log10(max(size, at_least) / at_least) / width if width else 0.0
            scaled.append((across, min(1.0, height)))
    area, best = 0.0, 0.0
    edges = sorted(scaled)
    for position, (left, height) in enumerate(edges):
        best = max(best, height)
        right = edges[position + 1][0] if position + 1 < len(edges) else 1.0
        area += best * (right - left)
    return min(1.0, area)  # the sum may be a rounding over


def knee(items: Sequence[T], quality: Callable[[T], float], size: Callable[[T], float], mode: Mode) -> T:
    """Return the knee of a front: the point farthest above the straight line from its first point to its last.

    The horizontal axis is log10 of the size. The knee of a front of one or two points is its last.

    Args:
        items: the front, ascending in size.
        quality: reads the quality of an item.
        size: reads the size of an item.
        mode: direction of the quality.

    Raises:
        ValueError: when there are no items.
    """
    if not items:
        raise ValueError("a front without points has no knee")
    if len(items) < 3:
        return items[-1]
    sign = 1.0 if mode == "max" else -1.0
    across = [math.log10(max(1.0, size(item))) for item in items]
    up = [sign * quality(item) for item in items]
    width, rise = across[-1] - across[0], up[-1] - up[0]
    above = [
        (up[i] - up[0]) / rise - (across[i] - across[0]) / width if width and rise else 0.0 for i in range(len(items))
    ]
    return items[max(range(len(items)), key=lambda i: above[i])]
