"""Early stopping: schedulers of Ray Tune that end weak trials at a rung."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from spaces.pareto.point import Point
from spaces.pareto.stopping_rule import FrontRule
from spaces.spec.metrics import standard_error
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import REDUCTION_FACTOR, rung_steps


class FrontStopper(FIFOScheduler):  # type: ignore[misc]
    """Stops trials by `FrontRule`. References are not compared, nor is the last rung, where a trial ends anyway."""

    def __init__(self, rule: FrontRule, max_steps: int) -> None:
        super().__init__()
        self._rule = rule
        self._max_steps = max_steps
        self._added: deque[Trial] = deque()

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Queue a trial that is to run."""
        self._added.append(trial)

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Return the trial that has waited longest. Ray's own goes through all trials so far, several times a trial."""
        while self._added and self._added[0].status != Trial.PENDING:
            self._added.popleft()
        return self._added[0] if self._added else None

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        """Decide at a rung whether a trial goes on."""
        step, compared = int(result["steps"]), result.get("compared")
        plan = trial.config["plan"]
        if plan["kind"] != "trial" or compared is None or step >= self._max_steps:
            return str(TrialScheduler.CONTINUE)
        point = Point(plan["trial"], plan["trainable_parameters"], float(compared))
        return str(TrialScheduler.CONTINUE if self._rule.goes_on(step, point) else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> None:
        """Learn from a trial that finished; forget one that failed, so that its rungs stop no other trial."""
        plan = trial.config["plan"]
        if result.get("state") == "failed":
            self._rule.forget(plan["trial"])
        elif result.get("state") == "finished" and plan["kind"] == "trial":
            point = Point(plan["trial"], plan["trainable_parameters"], float(result["quality"]))
            self._rule.record(int(result["steps"]), point)  # one that ended early may have ended at a rung
            self._rule.finish(point)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Forget a trial whose worker died; begun again, it is compared from its next rung on."""
        self._rule.forget(trial.config["plan"]["trial"])


def make_stopper(spec: SearchSpec, ledger: Ledger, validation_rows: int) -> TrialScheduler:
    """Return the stopper named in the spec; `front` takes up the rungs of an earlier driver's trials."""
    max_steps = spec.training.max_steps
    if spec.search.stopper == "none":
        return FIFOScheduler()
    if spec.search.stopper == "asha":
        return AsyncHyperBandScheduler(
            time_attr="steps",
            metric="compared",
            mode=spec.rung_metric.mode,
            max_t=max_steps,
            grace_period=rung_steps(max_steps, spec.search.rungs)[0],
            reduction_factor=REDUCTION_FACTOR,
        )
    noise = partial(standard_error, spec.rung_metric, rows=validation_rows)
    rule = FrontRule(spec.rung_metric.mode, noise, final_mode=spec.metric.mode)
    for folder in ledger.trials("trial"):
        plan, result = folder.plan(), folder.result()
        for rung in folder.rungs() if result is None or result.state != "failed" else ():
            rule.record(rung.step, Point(plan.trial, plan.trainable_parameters, spec.compared(rung)))
        if result is not None and result.state == "finished" and result.quality is not None:
            rule.finish(Point(plan.trial, plan.trainable_parameters, result.quality))
    return FrontStopper(rule, max_steps)
