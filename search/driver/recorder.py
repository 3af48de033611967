"""The recorder of a running search: it keeps the front so far and the counts, and writes both to MLflow."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from spaces.model.budget import Budget
from spaces.pareto.answers import head_level
from spaces.pareto.front import front, hypervolume
from spaces.spec.metrics import Metric
from spaces.trials.ledger import Ledger
from spaces.trials.records import Rung, TrialPlan, TrialResult
from tracking.writing.search_writer import SearchWriter


@dataclass(frozen=True)
class CompletedTrial:
    """A trial with its result."""

    plan: TrialPlan
    result: TrialResult

    @property
    def quality(self) -> float:
        """The quality at the last step; NaN where there is none."""
        return float("nan") if self.result.quality is None else self.result.quality


class Recorder:
    """Takes events of trials in the order in which they happen, from the driver's thread alone.

    The cost of an event does not grow with the number of trials.

    Attributes:
        running: Plans of the running trainings, by trial.
        latest: The last rung of each training, by trial.
        ended: Every training that has ended, by trial.
        front: The front so far, ascending in trainable parameters.
        reference: The quality of the head alone: infinite where it has no finite one, None until it is known.
        rejected: The number of suggestions outside the budget.
    """

    def __init__(
        self,
        ledger: Ledger,
        writer: SearchWriter,
        budget: Budget,
        metric: Metric,
        *,
        rejected: int = 0,
    ) -> None:
        self.ledger = ledger
        self.metric = metric
        self.running: dict[str, TrialPlan] = {}
        self.latest: dict[str, Rung] = {}
        self.ended: dict[str, CompletedTrial] = {}
        self.reference: float | None = None
        self._writer = writer
        self._budget = budget
        self.front: list[CompletedTrial] = []
        self.rejected = rejected
        self._counts: Counter[str] = Counter()
        self._on_front: set[str] = set()
        self._reported: dict[str, int] = {}

    def started(self, plan: TrialPlan) -> None:
        """Record that a trial has an actor."""
        self.running[plan.trial] = plan
        self._writer.start_trial(plan)

    def reported(self, plan: TrialPlan) -> None:
        """Record the rungs that a trial has reached since the last call."""
        rungs = self.ledger.trial(plan.trial).rungs()
        if rungs and rungs[-1].step > self._reported.get(plan.trial, -1):
            self._writer.report(plan.trial, rungs)
            self._reported[plan.trial] = rungs[-1].step
            self.latest[plan.trial] = rungs[-1]

    def finished(self, plan: TrialPlan) -> CompletedTrial | None:
        """Record the end of a trial and return it; None while the ledger has no result."""
        result = self.ledger.trial(plan.trial).result()
        if result is None:
            return None
        with self._writer.together():
            if plan.trial not in self.running:
                self.started(plan)  # its workers died before it began
            self.reported(plan)
            self.running.pop(plan.trial, None)
            ended = self._keep(plan, result)
            self._writer.end_trial(plan, result)
            self._update()
        return ended

    def take_up(self) -> None:
        """Take up what an earlier driver recorded; MLflow is sent only what it was not sent then."""
        for folder in self.ledger.trials():
            plan, result = folder.plan(), folder.result()
            if result is None:
                self._reported[plan.trial] = max((rung.step for rung in folder.rungs()), default=-1)
                if self._writer.has_ended(plan.trial):  # it failed and is to be tried again
                    self._writer.start_trial(plan)
                continue
            self._keep(plan, result)
            if not self._writer.has_ended(plan.trial):
                self._writer.start_trial(plan)
                self._writer.end_trial(plan, result)
        self._update()

    def _keep(self, plan: TrialPlan, result: TrialResult) -> CompletedTrial:
        ended = CompletedTrial(plan, result)
        self.ended[plan.trial] = ended
        if plan.kind == "trial":
            self._counts[result.state] += 1
            if result.state == "finished":
                # A trial that the front beat once stays beaten, so only the front is compared again.
                self.front = front(
                    sorted([*self.front, ended], key=lambda one: one.plan.trial),
                    quality=lambda one: one.quality,
                    size=lambda one: one.plan.trainable_parameters,
                    mode=self.metric.mode,
                )
        if plan.kind == "reference" and result.state == "finished":
            self.reference = head_level(result.quality, self.metric.mode)
        return ended

    def counts(self) -> dict[str, int]:
        """Return the numbers of trials by state, and of rejected configurations."""
        return {state: self._counts[state] for state in ("finished", "stopped", "failed")} | {"rejected": self.rejected}

    def reject(self) -> None:
        """Count a suggestion outside the budget."""
        self.rejected += 1

    def _update(self) -> None:
        members = {one.plan.trial for one in self.front}
        joined, left = sorted(members - self._on_front), sorted(self._on_front - members)
        self._on_front = members
        for trial in joined:
            self._writer.set_on_front(trial, True)
        for trial in left:
            self._writer.set_on_front(trial, False)
        self._writer.log_counts(**self.counts(), hypervolume=self.hypervolume)
        for trial in joined:  # last: an upload splits the batch of events
            self._writer.upload_adapter(trial, self.ledger.trial(trial).adapter)

    @property
    def hypervolume(self) -> float:
        """The hypervolume of the front so far; 0 before the reference is known."""
        if self.reference is None:
            return 0.0
        return hypervolume(
            [(one.quality, one.plan.trainable_parameters) for one in self.front],
            at_least=self._budget.at_least,
            budget=self._budget.parameters,
            reference=self.reference,
            perfect=self.metric.perfect,
        )
