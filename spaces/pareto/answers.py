"""The answer of a search: its best point and its knee, both among the points that beat the task head alone.

Tables, figures, the service, exports and the demo all use it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from spaces.pareto.front import front, knee
from spaces.pareto.point import Point
from spaces.spec.metrics import Mode

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """The best point and the knee; both are None when no point beats the head alone."""

    best: T | None
    knee: T | None


@dataclass(frozen=True)
class ConfirmablePoint(Point):
    """A finished trial with the quality of one training and, if it was confirmed, the mean of its confirmations."""

    confirmed: float | None = None

    @property
    def known(self) -> float:
        """The most reliable quality: the confirmed one if there is one."""
        return self.quality if self.confirmed is None else self.confirmed


def head_level(quality: float | None, mode: Mode) -> float:
    """Return the quality of the head alone, which a trial must exceed.

    A head that finished without a finite quality is infinitely bad: JSON and MLflow keep no infinite numbers.
    """
    worst = -math.inf if mode == "max" else math.inf
    return worst if quality is None or math.isinf(quality) else quality


def above(items: Iterable[T], quality: Callable[[T], float], reference: float | None, mode: Mode) -> list[T]:
    """Return the items that are strictly better than the head alone.

    Args:
        items: in any order.
        quality: reads the quality of an item.
        reference: the quality of the head alone. If it is None or NaN it was not measured, and nothing is known to beat
            it; if it is infinite it has no finite quality, and any finite quality beats it.
        mode: direction of the quality.
    """
    if reference is None:
        return []
    sign = 1.0 if mode == "max" else -1.0
    return [item for item in items if sign * quality(item) > sign * reference]


def answer(
    points: Sequence[T],
    *,
    quality: Callable[[T], float],
    size: Callable[[T], float],
    reference: float | None,
    mode: Mode,
) -> Answer[T]:
    """Return the answer of a front that is ascending in size."""
    able = above(points, quality, reference, mode)
    return Answer(able[-1], knee(able, quality, size, mode)) if able else Answer(None, None)


def trusted_answer(
    points: Iterable[ConfirmablePoint],
    *,
    reference: float | None,
    mode: Mode,
    clearly_better: Callable[[ConfirmablePoint, ConfirmablePoint], bool],
    at_most: int | None = None,
) -> Answer[ConfirmablePoint]:
    """Return the answer of a search with confirmed points.

    It is the answer of the confirmed front, since fresh seeds average out luck: the best of many single trainings is
    also the luckiest. If the confirmed front has no point above the head alone, or a trial that was trained once is
    clearly better than its best point, it is the answer of all trials, each by its most reliable quality.

    Args:
        points: all finished trials, or at least the confirmed front and the front of the unconfirmed trials.
        reference: the quality of the head alone, as for `above`.
        mode: direction of the quality.
        clearly_better: compares a point that was trained once with a confirmed one, beyond their errors.
        at_most: the largest size that is wanted.
    """
    wanted = [point for point in points if at_most is None or point.parameters <= at_most]
    confirmed = front([point for point in wanted if point.confirmed is not None], _known, _size, mode)
    together = front(wanted, _known, _size, mode)
    trusted = above(confirmed, _known, reference, mode)
    # If any point is above the head alone, so is the best of all.
    if not trusted or (together[-1] != trusted[-1] and clearly_better(together[-1], trusted[-1])):
        trusted = together
    return answer(trusted, quality=_known, size=_size, reference=reference, mode=mode)


def _known(point: ConfirmablePoint) -> float:
    return point.known


def _size(point: ConfirmablePoint) -> float:
    return point.parameters
