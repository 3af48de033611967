"""The early-stopping rule: at a rung, trials go on that are, or may become, part of the front."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

from spaces.pareto.front import front
from spaces.pareto.point import SIZE_REGION, Point
from spaces.spec.metrics import Mode

CONFIDENCE = 1.0
"""Standard errors by which a trial must be behind to be stopped."""

KNOWN = 5
"""Trials that must have finished before one is stopped: until then nothing is known of what a rung says of the end."""


class FrontRule:
    """Compares trials at equal steps, each with the best one that trains at most as many parameters.

    A trial is stopped when its rival is ahead by more than the noise of the two scores, and by more than the largest
    lead that any trial of the final front had against it at this rung. The best trial that its region of sizes has seen
    at the rung always goes on. So a rung at which trials that end well look weak stops few; the smallest trial and the
    best one are never stopped; every region that was tried keeps a survivor; and nothing waits, since each trial is
    judged by the trials before it. The cost of a judgement does not grow with the number of trials, except when one of
    the best is forgotten.

    Args:
        mode: direction of the number that is compared at rungs.
        noise: the standard error of such a number on the validation split.
        final_mode: direction of the quality at the end, if that is another number. The two are never compared.
    """

    def __init__(self, mode: Mode, noise: Callable[[float], float], final_mode: Mode | None = None) -> None:
        self._sign = 1.0 if mode == "max" else -1.0
        self._noise = noise
        self._rungs: dict[int, _Rung] = defaultdict(lambda: _Rung(mode))
        self._finished = _Rung(final_mode or mode)

    def record(self, step: int, point: Point) -> None:
        """Remember a trial at a rung; one that reaches the rung again replaces its earlier point."""
        self._rungs[step].add(point)

    def finish(self, point: Point) -> None:
        """Remember the final quality of a trial."""
        self._finished.add(point)

    def forget(self, trial: str) -> None:
        """Drop a failed trial everywhere: no other is compared with it from now on."""
        for rung in (*self._rungs.values(), self._finished):
            rung.drop(trial)

    def goes_on(self, step: int, point: Point) -> bool:
        """Record a trial at a rung and judge it. A trial whose quality is not finite is stopped."""
        rung = self._rungs[step]
        rung.drop(point.trial)
        best, rival = rung.best_within(point.parameters), rung.best_of_region(point.parameters)
        rung.add(point)
        if not math.isfinite(point.quality):
            return False
        if len(self._finished) < KNOWN or best is None or not self._ahead(best, point, rung):
            return True
        return rival is None or self._sign * point.quality > self._sign * rival.quality

    def _ahead(self, one: Point, other: Point, rung: _Rung) -> bool:
        margin = CONFIDENCE * math.hypot(self._noise(one.quality), self._noise(other.quality))
        behind = (rung.behind(member) for member in self._finished.front)
        return self._sign * (one.quality - other.quality) > max(margin, *behind)


class _Rung:
    """The trials that reached one rung, or their end, with their front and the best of each region of sizes."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._sign = 1.0 if mode == "max" else -1.0
        self._seen: dict[str, Point] = {}
        self.front: list[Point] = []
        self._best: dict[int, Point] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, point: Point) -> None:
        self.drop(point.trial)
        if math.isfinite(point.quality):
            self._seen[point.trial] = point
            self._count(point)

    def drop(self, trial: str) -> None:
        gone = self._seen.pop(trial, None)
        if gone is not None and (gone in self.front or gone in self._best.values()):
            self.front, self._best = [], {}
            for one in self._seen.values():
                self._count(one)

    def _count(self, point: Point) -> None:
        known = [*self.front, point]
        self.front = front(known, lambda one: one.quality, lambda one: one.parameters, self._mode)
        best = self.best_of_region(point.parameters)
        if best is None or self._sign * point.quality > self._sign * best.quality:
            self._best[_region(point.parameters)] = point

    def best_within(self, parameters: int) -> Point | None:
        """Return the best trial of at most `parameters` trainable parameters."""
        return next((one for one in reversed(self.front) if one.parameters <= parameters), None)

    def behind(self, one: Point) -> float:
        """Return the lead of the best trial of at most as many parameters at this rung; 0 if `one` never reached it."""
        seen, best = self._seen.get(one.trial), self.best_within(one.parameters)
        return self._sign * (best.quality - seen.quality) if seen and best else 0.0

    def best_of_region(self, parameters: int) -> Point | None:
        """Return the best trial of about as many parameters."""
        return self._best.get(_region(parameters))


def _region(parameters: int) -> int:
    return math.floor(math.log10(max(1, parameters)) / SIZE_REGION)
