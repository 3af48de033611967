"""Which trials go on at a rung: those that are, or may become, part of the front there."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from spaces.fronts import front
from spaces.metrics import Mode

CONFIDENCE = 1.0
"""Standard errors by which a trial must be behind to be stopped."""

REGION = 0.5
"""Width of a region of the budget, in powers of ten of trainable parameters."""


@dataclass(frozen=True)
class Seen:
    """A trial at a rung."""

    trial: str
    parameters: int
    quality: float


class FrontRule:
    """Compares trials at equal steps, each with the best one that trains at most as many parameters.

    A trial is stopped when that one is better by more than the noise of the two scores, unless it is the best that its
    region of the budget has seen at that rung. So the smallest trial and the best one are never stopped, every region
    that was tried keeps a survivor, and nothing has to wait: each trial is judged by what was seen before it. What that
    costs does not grow with the trials that were seen, but where one of the best is forgotten.

    `noise`: standard error of a quality on the validation split.
    """

    def __init__(self, mode: Mode, noise: Callable[[float], float]) -> None:
        self._sign = 1.0 if mode == "max" else -1.0
        self._noise = noise
        self._rungs: dict[int, _Rung] = defaultdict(lambda: _Rung(mode))

    def record(self, step: int, seen: Seen) -> None:
        """Remember a trial at a rung; a trial that comes there again takes its earlier place."""
        self._rungs[step].add(seen)

    def forget(self, trial: str) -> None:
        """A trial came to nothing: it is nobody's rival any more."""
        for rung in self._rungs.values():
            rung.drop(trial)

    def goes_on(self, step: int, seen: Seen) -> bool:
        """Record a trial at a rung and judge it. A quality that is not finite does not go on."""
        rung = self._rungs[step]
        rung.drop(seen.trial)
        best, rival = rung.best_within(seen.parameters), rung.best_of_region(seen.parameters)
        rung.add(seen)
        if not math.isfinite(seen.quality):
            return False
        if best is None or not self._ahead(best, seen):
            return True
        return rival is None or self._sign * seen.quality > self._sign * rival.quality

    def _ahead(self, one: Seen, other: Seen) -> bool:
        margin = CONFIDENCE * math.hypot(self._noise(one.quality), self._noise(other.quality))
        return self._sign * (one.quality - other.quality) > margin


class _Rung:
    """The trials that came to one rung, the front of them, and the best of each region."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._sign = 1.0 if mode == "max" else -1.0
        self._seen: dict[str, Seen] = {}
        self._front: list[Seen] = []
        self._best: dict[int, Seen] = {}

    def add(self, seen: Seen) -> None:
        self.drop(seen.trial)
        if math.isfinite(seen.quality):
            self._seen[seen.trial] = seen
            self._count(seen)

    def drop(self, trial: str) -> None:
        gone = self._seen.pop(trial, None)
        if gone is not None and (gone in self._front or gone in self._best.values()):
            self._front, self._best = [], {}
            for one in self._seen.values():
                self._count(one)

    def _count(self, seen: Seen) -> None:
        known = [*self._front, seen]
        self._front = front(known, lambda one: one.quality, lambda one: one.parameters, self._mode)
        best = self.best_of_region(seen.parameters)
        if best is None or self._sign * seen.quality > self._sign * best.quality:
            self._best[_region(seen.parameters)] = seen

    def best_within(self, parameters: int) -> Seen | None:
        """The best with at most so many parameters."""
        return next((one for one in reversed(self._front) if one.parameters <= parameters), None)

    def best_of_region(self, parameters: int) -> Seen | None:
        """The best of about so many parameters."""
        return self._best.get(_region(parameters))


def _region(parameters: int) -> int:
    return math.floor(math.log10(max(1, parameters)) / REGION)
