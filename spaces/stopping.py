"""Which trials go on at a rung: those that are, or may become, part of the front there."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

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
    """Compares trials at equal steps, each with those that train at most as many parameters.

    A trial is stopped when one of these is better by more than the noise of the two scores, unless it is the best that
    its region of the budget has seen at that rung. So the smallest trial and the best one are never stopped, every
    region that was tried keeps a survivor, and nothing has to wait: each trial is judged by what was seen before it.

    `noise`: standard error of a quality on the validation split.
    """

    def __init__(self, mode: Mode, noise: Callable[[float], float]) -> None:
        self._sign = 1.0 if mode == "max" else -1.0
        self._noise = noise
        self._seen: dict[int, dict[str, Seen]] = defaultdict(dict)

    def record(self, step: int, seen: Seen) -> None:
        """Remember a trial at a rung; a trial that comes there again takes its earlier place."""
        self._seen[step][seen.trial] = seen

    def goes_on(self, step: int, seen: Seen) -> bool:
        """Record a trial at a rung and judge it. A quality that is not finite does not go on."""
        if not math.isfinite(seen.quality):
            return False
        others = [one for one in self._seen[step].values() if one.trial != seen.trial]
        self.record(step, seen)
        if not any(one.parameters <= seen.parameters and self._ahead(one, seen) for one in others):
            return True
        rivals = [one for one in others if _region(one.parameters) == _region(seen.parameters)]
        return all(self._sign * seen.quality > self._sign * one.quality for one in rivals)

    def _ahead(self, one: Seen, other: Seen) -> bool:
        margin = CONFIDENCE * math.hypot(self._noise(one.quality), self._noise(other.quality))
        return self._sign * (one.quality - other.quality) > margin


def _region(parameters: int) -> int:
    return math.floor(math.log10(max(1, parameters)) / REGION)
