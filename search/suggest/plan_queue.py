"""The queue of trial plans: waiting for a worker, running on one, and recorded when they end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from search.storage.checks import try_writing
from spaces.trials.ledger import Ledger, TrialFolder
from spaces.trials.records import TrialPlan, TrialResult

WORKER_DIED = "its worker process died"
"""Reason of a failed trial whose worker left no traceback."""


class PlanQueue:
    """Plans that wait and plans that run. One whose worker died is handed out again, up to `retries` times.

    Tune's own retries are not enough: it gives up a trial whose worker dies while receiving its configuration.

    Attributes:
        out: The running plans, by Tune's trial id.
    """

    def __init__(self, ledger: Ledger, waiting: Iterable[TrialPlan] = (), *, retries: int) -> None:
        self.out: dict[str, TrialPlan] = {}
        self._waiting = deque(waiting)
        self._ledger = ledger
        self._retries = retries
        self._deaths: Counter[str] = Counter()

    def next(self) -> TrialPlan | None:
        """Return the plan that has waited longest, None when none waits."""
        return self._waiting.popleft() if self._waiting else None

    def hand_out(self, trial_id: str, plan: TrialPlan) -> dict[str, Any]:
        """Note that a plan runs, and return the config that Tune passes to the trainable."""
        self.out[trial_id] = plan
        return {"plan": plan.model_dump(mode="json")}

    def take_back(
        self, trial_id: str, result: dict[str, Any] | None, error: bool
    ) -> tuple[TrialPlan, TrialResult] | None:
        """Record the end of a trial durably.

        Args:
            trial_id: Tune's id of the trial.
            result: The last result that Tune received.
            error: The worker failed, by Tune's account.

        Returns:
            The plan and its result; None when the plan is not running, or is to begin again.

        Raises:
            OSError: when the storage is away. That is no fault of the trial, which goes on once the storage is back.
        """
        plan = self.out.pop(trial_id, None)
        if plan is None:
            return None
        ended = self._ledger.trial(plan.trial).result()
        if ended is None and error:
            try_writing(self._ledger.home)
        if ended is None and error and self._deaths[plan.trial] < self._retries:
            self._deaths[plan.trial] += 1
            self._waiting.append(plan)
            return None
        return plan, ended or self._settled(plan, result, error)

    def recorded(self) -> list[tuple[str, TrialPlan]]:
        """Return running plans whose end is recorded: Tune reports none of them once it was asked to stop."""
        return [(one, plan) for one, plan in self.out.items() if self._ledger.trial(plan.trial).result() is not None]

    def _settled(self, plan: TrialPlan, result: dict[str, Any] | None, error: bool) -> TrialResult:
        """Write and return the end of a trial whose worker recorded none: stopped at a rung, else failed."""
        folder = self._ledger.trial(plan.trial)
        rungs = folder.rungs()
        steps = rungs[-1].step if rungs else 0
        if error or not result:
            ended = TrialResult(state="failed", steps=steps, rungs=rungs, reason=_why_it_died(folder))
        else:
            ended = TrialResult(
                state="stopped",
                steps=steps,
                rungs=rungs,
                reason=f"stopped at rung {steps}: behind the other trials there",
                train_seconds=float(result.get("train_seconds", 0.0)),
                peak_memory_bytes=int(result.get("peak_memory_bytes", 0)),
            )
        return folder.write_result(ended)


def _why_it_died(folder: TrialFolder) -> str:
    """Return the last line of the worker's traceback, if it could still write one."""
    try:
        return folder.error.read_text(encoding="utf-8").strip().splitlines()[-1][:300]
    except (OSError, IndexError):
        return WORKER_DIED


class PlanList(Searcher):  # type: ignore[misc]
    """A searcher that hands out a fixed list of plans and records how they end."""

    def __init__(self, plans: Sequence[TrialPlan], ledger: Ledger, *, max_failures: int) -> None:
        super().__init__(metric="quality", mode="max")
        self.plans = PlanQueue(ledger, plans, retries=max_failures)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next plan, None while running ones may come back, else FINISHED."""
        plan = self.plans.next()
        if plan is not None:
            return self.plans.hand_out(trial_id, plan)
        return None if self.plans.out else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end."""
        self.plans.take_back(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Write a placeholder: the ledger is the durable record, but Tune insists on a file."""
        Path(checkpoint_path).write_text("see the ledger of the search\n", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see `save`."""
