"""Rules that the search might have instead of its own."""

from __future__ import annotations

import statistics
from typing import Any

from ray.tune.schedulers import TrialScheduler

from search.searcher import PlannedSearch
from search.stoppers import FrontStopper
from spaces.ledger import Ledger
from spaces.metrics import standard_error
from spaces.spec import SearchSpec
from spaces.stopping import FrontRule

PATIENCE = 2.0
"""Times the noise by which a trial must be behind."""


def patient_stopper(spec: SearchSpec, ledger: Ledger, validation_rows: int) -> TrialScheduler:
    """The front stopper, for which the noise is larger than it is."""

    def noise(quality: float) -> float:
        return PATIENCE * standard_error(spec.metric, quality, validation_rows)

    return FrontStopper(FrontRule(spec.metric.mode, noise), spec.training.max_steps)


class Foreseeing(PlannedSearch):
    """Its sampler takes a stopped trial for what it would have come to with the average gain of finished ones."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        plan = self.plans.out[trial_id]
        tried = self._asker._running[plan.trial]
        super().on_trial_complete(trial_id, result, error)
        if tried.state != "stopped":
            return
        last = tried.rungs[-1]
        gains = [
            ended.quality - rung.quality
            for _, ended in self._asker._by_size
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
        tried = self._asker._running[self.plans.out[trial_id].trial]
        super().on_trial_complete(trial_id, result, error)
        if tried.state == "stopped":
            tried.rungs = ()
