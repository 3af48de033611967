"""Rules that the search might have instead of its own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from ray.tune.schedulers import TrialScheduler

from search.driver.early_stopping import FrontStopper
from search.suggest.searcher import PlannedSearch
from spaces.pareto.point import Point
from spaces.pareto.stopping_rule import KNOWN, FrontRule, _Rung
from spaces.spec.metrics import Mode, standard_error
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger


class ByNoise(FrontRule):
    """The noise of two scores alone says who is behind, from the first trial on."""

    def __init__(self, mode: Mode, noise: Callable[[float], float]) -> None:
        super().__init__(mode, noise)
        for number in range(KNOWN):  # as if enough had finished, of whose rungs nothing is known
            super().finish(Point(f"nobody {number}", 1, 0.5))

    def finish(self, point: Point) -> None:
        """Nothing is learned from it."""


class Reaching(FrontRule):
    """Stops whoever would have to gain more until the end than any finished trial has, to come near the front."""

    def _ahead(self, one: Point, other: Point, rung: _Rung) -> bool:
        best = self._finished.best_within(other.parameters)
        if best is None:
            return False
        ended, then = self._finished._seen, rung._seen
        gains = (self._sign * (ended[name].quality - then[name].quality) for name in ended.keys() & then.keys())
        needed = self._sign * (best.quality - other.quality) - self._noise(best.quality)
        return needed > max(gains, default=math.inf)


def stopper_by(rule: type[FrontRule]) -> Callable[[SearchSpec, Ledger, int], TrialScheduler]:
    """The front stopper with another rule."""

    def make(spec: SearchSpec, ledger: Ledger, validation_rows: int) -> TrialScheduler:
        noise = partial(standard_error, spec.metric, rows=validation_rows)
        return FrontStopper(rule(spec.metric.mode, noise), spec.training.max_steps)

    return make


class Foreseeing(PlannedSearch):
    """Its sampler takes a stopped trial for what it would have come to with the average gain of finished ones."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        plan = self.plans.out[trial_id]
        tried = self._proposer._running[plan.trial]
        super().on_trial_complete(trial_id, result, error)
        if tried.state != "stopped":
            return
        last = tried.rungs[-1]
        gains = [
            ended.quality - rung.quality
            for _, ended in self._proposer._by_size
            if ended.state == "finished" and ended.quality is not None
            for rung in ended.rungs
            if rung.step == last.step
        ]
        if gains:
            tried.state, tried.quality = "finished", last.quality + statistics.mean(gains)
            tried.rungs = ()  # so that no later trial gains by it


class Forgetting(PlannedSearch):
    """Its sampler takes every stopped trial for the worst, whatever its rungs were."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        tried = self._proposer._running[self.plans.out[trial_id].trial]
        super().on_trial_complete(trial_id, result, error)
        if tried.state == "stopped":
            tried.rungs = ()
