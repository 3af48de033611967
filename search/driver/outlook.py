"""Whether there is hope for a search: none when its reference failed, or when its first trials all failed alike."""

from __future__ import annotations

import math
import re

from search.suggest.plan_queue import WORKER_DIED
from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger, TrialFolder
from spaces.trials.records import TrialPlan, TrialResult

ALIKE = 3
"""Trials that must have failed alike, with none that succeeded; all of a search that has fewer."""

# Of a reason that is cut at some length, the end may differ where its numbers do.
_COMPARED = 150
_VARYING = re.compile(
    r"0x[0-9a-f]+"  # addresses
    r"|\b(?=[0-9a-f-]*\d)[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b"  # ids
    r"|\b(?:nan|inf)\b"
    r"|[-+]?\d[\d_,.]*(?:e[-+]?\d+)?",  # numbers
    re.IGNORECASE,
)


class Outlook:
    """Takes trainings as they end, and says when there is no hope for those to come.

    Failures count while no trial has finished or was stopped. They must be alike but for numbers, addresses, ids and
    the name of the method, and of more than one method where the search has several. Memory that did not suffice says
    something of all trials only when it did not for one of the smaller half, on a logarithmic scale.
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
        """A training ended."""
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
        """Why nothing more is to be trained; None: go on.

        Args:
            reached: Steps after which a training that still runs was evaluated last; one that came further than any
                that failed may well succeed.
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
    """The trainings of a search that ended for what they failed with: once that is mended, they deserve another try."""
    outlook = Outlook(spec, budget)
    outlook.take_up(ledger)
    reached = max((steps_reached(folder) for folder in ledger.trials() if folder.result() is None), default=0)
    return [ledger.trial(one) for one in outlook.failed] if outlook.verdict(reached) is not None else []


def steps_reached(folder: TrialFolder) -> int:
    """The step of a training's last evaluation."""
    rungs = folder.rungs()
    return rungs[-1].step if rungs else 0


def _normalised(plan: TrialPlan, result: TrialResult) -> str:
    reason = re.sub(re.escape(plan.method), "#", result.reason or "", flags=re.IGNORECASE)
    return " ".join(_VARYING.sub("#", reason).split())[:_COMPARED]


def _is_memory(reason: str) -> bool:
    """Whether memory may not have sufficed: the system ends processes without a word for that."""
    return reason == WORKER_DIED or "out of memory" in reason.lower() or "not enough memory" in reason.lower()
