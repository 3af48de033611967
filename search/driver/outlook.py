"""The outlook of a search: it is given up when its reference failed, or its first trials all failed alike."""

from __future__ import annotations

import math
import re

from search.suggest.plan_queue import WORKER_DIED
from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger, TrialFolder
from spaces.trials.records import TrialPlan, TrialResult

ALIKE = 3
"""Trials that must have failed alike, with none that succeeded; all trials of a search with fewer."""

# Characters of a reason that are compared. Reasons are cut at a fixed length, so longer numbers shift their ends.
_COMPARED = 150
_VARYING = re.compile(
    r"0x[0-9a-f]+"  # addresses
    r"|\b(?=[0-9a-f-]*\d)[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b"  # ids
    r"|\b(?:nan|inf)\b"
    r"|[-+]?\d[\d_,.]*(?:e[-+]?\d+)?",  # numbers
    re.IGNORECASE,
)


class Outlook:
    """Takes trainings as they end, and tells when those to come would fail as well.

    Failures count while no trial has finished or was stopped. They must be alike but for numbers, addresses, ids and
    the name of the method, and come from more than one method where the search has several. Running out of memory
    counts only once a trial in the smaller half of the budget, on a logarithmic scale, did so.

    Attributes:
        failed: The trials that failed, the reference too.
    """

    def __init__(self, spec: SearchSpec, budget: Budget) -> None:
        self.failed: list[str] = []
        self._enough = min(ALIKE, spec.search.trials)
        self._methods = min(2, len(spec.methods), self._enough)
        self._middle = math.sqrt(budget.at_least * budget.parameters)
        self._succeeded = False
        self._failures: list[tuple[TrialPlan, TrialResult]] = []
        self._reference: str | None = None

    def ended(self, plan: TrialPlan, result: TrialResult) -> None:
        """Take the end of a training."""
        failed = result.state == "failed"
        if plan.kind == "reference":
            self._reference = (result.reason or "for no known reason") if failed else None
        elif plan.kind == "trial":
            self._succeeded = self._succeeded or not failed
            if failed and not self._succeeded:
                self._failures.append((plan, result))
        if failed and plan.kind != "confirmation":
            self.failed.append(plan.trial)

    def take_up(self, ledger: Ledger) -> None:
        """Take the trainings that ended under an earlier driver."""
        for folder in ledger.trials():
            result = folder.result()
            if result is not None:
                self.ended(folder.plan(), result)

    def verdict(self, reached: int) -> str | None:
        """Return the reason to give the search up, None to go on.

        Args:
            reached: The step of the last evaluation of any running training. One that came further than those that
                failed may well succeed.
        """
        if self._reference is not None:
            return f"its reference, the task head alone, failed: {self._reference}"
        if self._succeeded or len(self._failures) < self._enough or not self._are_alike():
            return None
        if reached > max(result.steps for _, result in self._failures):
            return None
        count = len(self._failures)
        told = f"its first {count} trials all failed alike" if count > 1 else "its first trial failed"
        return f"{told}: {self._failures[-1][1].reason}"

    def _are_alike(self) -> bool:
        if len({plan.method for plan, _ in self._failures}) < self._methods:
            return False
        if len({_normalised(plan, result) for plan, result in self._failures}) > 1:
            return False
        smallest = min(plan.trainable_parameters for plan, _ in self._failures)
        return smallest <= self._middle or not _is_memory(self._failures[0][1].reason or "")


def hopeless(ledger: Ledger, spec: SearchSpec, budget: Budget) -> list[TrialFolder]:
    """Return the failed trainings of a search that was given up, for another try; none of any other search."""
    outlook = Outlook(spec, budget)
    outlook.take_up(ledger)
    reached = max((steps_reached(folder) for folder in ledger.trials() if folder.result() is None), default=0)
    return [ledger.trial(one) for one in outlook.failed] if outlook.verdict(reached) is not None else []


def steps_reached(folder: TrialFolder) -> int:
    """Return the step of a training's last evaluation."""
    rungs = folder.rungs()
    return rungs[-1].step if rungs else 0


def _normalised(plan: TrialPlan, result: TrialResult) -> str:
    reason = re.sub(re.escape(plan.method), "#", result.reason or "", flags=re.IGNORECASE)
    return " ".join(_VARYING.sub("#", reason).split())[:_COMPARED]


def _is_memory(reason: str) -> bool:
    """Return whether memory may have run out: the system then kills a worker without a word."""
    return reason == WORKER_DIED or "out of memory" in reason.lower() or "not enough memory" in reason.lower()
