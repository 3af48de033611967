"""The answer of a search: its best point and its knee, both among the points that beat the task head alone.

Tables, pictures, the service, exports and the demo all take them from here.
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
    """The best point and the point of best trade; none of both where no point beats the head alone."""

    best: T | None
    knee: T | None


@dataclass(frozen=True)
class ConfirmablePoint(Point):
    """A finished trial: its quality of one training, and the mean of its confirmations where there are any."""

    confirmed: float | None = None

    @property
    def known(self) -> float:
        """The quality that says most of it: the confirmed one where there is one."""
        return self.quality if self.confirmed is None else self.confirmed


def head_level(quality: float | None, mode: Mode) -> float:
    """What beats the head alone is better than this; a training that finished without a finite quality is infinitely
    bad, since neither JSON nor MLflow keeps an infinite one."""
    worst = -math.inf if mode == "max" else math.inf
    return worst if quality is None or math.isinf(quality) else quality


def above(items: Iterable[T], quality: Callable[[T], float], reference: float | None, mode: Mode) -> list[T]:
    """The items that are strictly better than the head alone.

    `reference`: None or NaN where it was not measured, so that nothing is known to beat it; infinite where it has no
    finite quality, so that whatever has one does.
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
    """The answer that a front, given ascending in size, holds."""
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
    """The answer of a search of which some points were confirmed.

    It is that of the confirmed front, for there luck is averaged out: the best of many single trainings is the luckiest
    as well. But where that has no point above the head alone, or a trial that was trained once is clearly better than
    its best, it is that of all trials together, each by the quality that says most of it.

    Args:
        points: all finished trials, or at least the confirmed front and the front of those that were not confirmed.
        clearly_better: whether a point that was trained once is better than a confirmed one, beyond their errors.
        at_most: the largest size that is wanted.
    """
    wanted = [point for point in points if at_most is None or point.parameters <= at_most]
    confirmed = front([point for point in wanted if point.confirmed is not None], _known, _size, mode)
    together = front(wanted, _known, _size, mode)
    trusted = above(confirmed, _known, reference, mode)
    # Where any is above the head alone, so is the best of all.
    if not trusted or (together[-1] != trusted[-1] and clearly_better(together[-1], trusted[-1])):
        trusted = together
    return answer(trusted, quality=_known, size=_size, reference=reference, mode=mode)


def _known(point: ConfirmablePoint) -> float:
    return point.known


def _size(point: ConfirmablePoint) -> float:
    return point.parameters
