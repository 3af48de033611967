"""Which trials go on at a rung: those that are, or may become, part of the front."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from spaces.pareto.front import front
from spaces.spec.metrics import Mode

CONFIDENCE = 1.0
"""Standard errors by which a trial must be behind to be stopped."""

KNOWN = 5
"""Trials that must have finished before one is stopped: until then nobody knows what a rung says of the end."""

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

    A trial is stopped when that one is better by more than the noise of the two scores, and by more than the best one
    of a size was ahead of any trial that ended on the front, unless it is the best that its region of the budget has
    seen at that rung. So a rung at which what ends well looks weak stops few, the smallest trial and the best one are
    never stopped, every region that was tried keeps a survivor, and nothing has to wait: each trial is judged by what
    was seen before it. What that costs does not grow with the trials that were seen, but where one of the best is
    forgotten.

    `noise`: standard error of a quality on the validation split.
    """

    def __init__(self, mode: Mode, noise: Callable[[float], float]) -> None:
        self._sign = 1.0 if mode == "max" else -1.0
        self._noise = noise
        self._rungs: dict[int, _Rung] = defaultdict(lambda: _Rung(mode))
        self._finished = _Rung(mode)

    def record(self, step: int, seen: Seen) -> None:
        """Remember a trial at a rung; a trial that comes there again takes its earlier place."""
        self._rungs[step].add(seen)

    def finish(self, seen: Seen) -> None:
        """A trial came to its end, with this quality."""
        self._finished.add(seen)

    def forget(self, trial: str) -> None:
        """A trial came to nothing: it is nobody's rival any more."""
        for rung in (*self._rungs.values(), self._finished):
            rung.drop(trial)

    def goes_on(self, step: int, seen: Seen) -> bool:
        """Record a trial at a rung and judge it. A quality that is not finite does not go on."""
        rung = self._rungs[step]
        rung.drop(seen.trial)
        best, rival = rung.best_within(seen.parameters), rung.best_of_region(seen.parameters)
        rung.add(seen)
        if not math.isfinite(seen.quality):
            return False
        if len(self._finished) < KNOWN or best is None or not self._ahead(best, seen, rung):
            return True
        return rival is None or self._sign * seen.quality > self._sign * rival.quality

    def _ahead(self, one: Seen, other: Seen, rung: _Rung) -> bool:
        margin = CONFIDENCE * math.hypot(self._noise(one.quality), self._noise(other.quality))
        behind = (rung.behind(member) for member in self._finished.front)
        return self._sign * (one.quality - other.quality) > max(margin, *behind)


class _Rung:
    """The trials that came to one rung, or to their end, the front of them, and the best of each region."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._sign = 1.0 if mode == "max" else -1.0
        self._seen: dict[str, Seen] = {}
        self.front: list[Seen] = []
        self._best: dict[int, Seen] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, seen: Seen) -> None:
        self.drop(seen.trial)
        if math.isfinite(seen.quality):
            self._seen[seen.trial] = seen
            self._count(seen)

    def drop(self, trial: str) -> None:
        gone = self._seen.pop(trial, None)
        if gone is not None and (gone in self.front or gone in self._best.values()):
            self.front, self._best = [], {}
            for one in self._seen.values():
                self._count(one)

    def _count(self, seen: Seen) -> None:
        known = [*self.front, seen]
        self.front = front(known, lambda one: one.quality, lambda one: one.parameters, self._mode)
        best = self.best_of_region(seen.parameters)
        if best is None or self._sign * seen.quality > self._sign * best.quality:
            self._best[_region(seen.parameters)] = seen

    def best_within(self, parameters: int) -> Seen | None:
        """The best with at most so many parameters."""
        return next((one for one in reversed(self.front) if one.parameters <= parameters), None)

    def behind(self, one: Seen) -> float:
        """By how much the best with at most its parameters was better here than a trial; 0 where it was not seen."""
        seen, best = self._seen.get(one.trial), self.best_within(one.parameters)
        return self._sign * (best.quality - seen.quality) if seen and best else 0.0

    def best_of_region(self, parameters: int) -> Seen | None:
        """The best of about so many parameters."""
        return self._best.get(_region(parameters))


def _region(parameters: int) -> int:
    return math.floor(math.log10(max(1, parameters)) / REGION)
