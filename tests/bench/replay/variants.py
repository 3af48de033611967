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
    """Tells Optuna of a stopped trial what it would have come to, had it gained as much as finished ones on average."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        plan = self._plans.out[trial_id]
        last = self._ledger.trial(plan.trial).rungs()[-1]
        gains = [
            ended.quality - rung.quality
            for folder in self._ledger.trials()
            if (ended := folder.result()) is not None and ended.quality is not None
            for rung in ended.rungs
            if rung.step == last.step
        ]
        if last.step < self._max_steps and gains:
            foreseen = last.quality + statistics.mean(gains)
            self._ot_study.tell(self._numbers[plan.trial], [foreseen, plan.trainable_parameters])
        super().on_trial_complete(trial_id, result, error)
