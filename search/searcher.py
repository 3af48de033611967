"""A subclass of Ray's OptunaSearch with a hard budget, several objectives told right, and a durable record."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from search.study import DUPLICATE, GIVEN, REJECTED, TRIAL, numbers_by_trial, tell
from spaces.budget import Budget
from spaces.draws import RandomDraw
from spaces.ledger import Ledger, TrialFolder
from spaces.metrics import Metric
from spaces.records import TrialPlan, TrialResult
from spaces.space import Proposal, Rejected, Space, signature
from spaces.suggestions import Suggestion, suggestion

ASKS_BEFORE_REPAIR = 50
DRAWS_BEFORE_GIVING_UP = 10_000


def config_of(plan: TrialPlan) -> dict[str, Any]:
    """What Tune carries to the trainable."""
    return {"plan": plan.model_dump(mode="json")}


class PlannedSearch(OptunaSearch):  # type: ignore[misc]
    """Hands out planned trials first, then asks Optuna until `trials` trials exist.

    A suggestion outside the budget is never trained: its Optuna trial ends as PRUNED with a violated constraint,
    from which TPE learns, and Optuna is asked again. A configuration that was planned before is not trained twice.
    After many such answers in a row the configuration is repaired: drawn at random within the budget.
    Every trial is written into the ledger before it starts, and its end before Optuna is told.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        ledger: Ledger,
        metric: Metric,
        *,
        trials: int,
        seed: int,
        max_steps: int,
        max_total_steps: int | None = None,
        given: Iterable[Suggestion] = (),
        on_rejected: Callable[[], None] = lambda: None,
        waiting: Iterable[TrialPlan] = (),
    ) -> None:
        super().__init__(
            space=space.propose,
            metric=["quality", "trainable_parameters"],
            mode=[metric.mode, "min"],
            sampler=study.sampler,
        )
        self._ot_study = study
        self._proposals = space
        self._ledger = ledger
        self._objective = metric
        self._limit = trials
        self._seed = seed
        self._waiting = deque(waiting)
        self._running: dict[str, TrialPlan] = {}
        self._numbers = numbers_by_trial(study)
        self._on_rejected = on_rejected
        self._max_steps = max_steps
        self._max_total_steps = max_total_steps
        plans = [folder.plan() for folder in ledger.trials("trial")]
        results = [ledger.trial(plan.trial).result() for plan in plans]
        self._steps = sum(result.steps for result in results if result is not None)
        self._planned = len(plans)
        self._known = {signature(plan.method, plan.config) for plan in plans}
        if not study.get_trials(deepcopy=False):
            for one in given:
                settings = {"method": one.proposal.method, **one.proposal.settings}
                study.enqueue_trial(dict(one.knobs), user_attrs={GIVEN: settings})
            for point in space.published():
                study.enqueue_trial(point)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it belongs into Tune's snapshot: the study and the ledger are durable themselves."""
        return {}

    def _setup_study(self, mode: str | list[str]) -> None:
        """The study is made by the caller, in a durable storage."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next configuration; nothing while running trials may use up the steps; FINISHED when there is none."""
        if not self._waiting and self._exhausted():
            return None if self._running else str(Searcher.FINISHED)
        plan = self._waiting.popleft() if self._waiting else self._next()
        if plan is None:
            return str(Searcher.FINISHED)
        self._running[trial_id] = plan
        return config_of(plan)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Rungs are kept by the trainable; Optuna takes no intermediate values for several objectives."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end durably, then tell Optuna."""
        plan = self._running.pop(trial_id, None)
        if plan is None:
            return
        ended = settle(self._ledger, plan, result, error)
        if plan.kind == "trial":
            self._steps += ended.steps
            tell(self._ot_study, self._numbers[plan.trial], plan, ended, self._objective)

    def save(self, checkpoint_path: str) -> None:
        """See `__getstate__`."""
        Path(checkpoint_path).write_text("see the study and the ledger of the search\n", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""

    def _exhausted(self) -> bool:
        """Whether one more trial could exceed the limit on steps."""
        running = sum(plan.kind == "trial" for plan in self._running.values())
        limit = self._max_total_steps
        return limit is not None and self._steps + (running + 1) * self._max_steps > limit

    def _next(self) -> TrialPlan | None:
        if self._planned >= self._limit:
            return None
        for _ in range(ASKS_BEFORE_REPAIR):
            asked = self._ot_study.ask()
            proposal = self._judge(asked)
            if proposal is not None:
                return self._plan(asked, proposal)
        return self._repaired()

    def _judge(self, asked: optuna.Trial) -> Proposal | None:
        """The proposal of an Optuna trial, or nothing after its trial was ended."""
        try:
            proposal = self._proposed(asked)
        except Rejected as rejection:
            self._on_rejected()
            asked.set_user_attr(REJECTED, str(rejection))
            asked.set_constraint("budget", rejection.excess)
            self._ot_study.tell(asked, state=TrialState.PRUNED)
            return None
        if proposal.signature in self._known:
            asked.set_user_attr(DUPLICATE, True)
            self._ot_study.tell(asked, state=TrialState.FAIL)
            return None
        return proposal

    def _proposed(self, asked: optuna.Trial) -> Proposal:
        """The configuration that was given, exactly, though the knobs may only come near it; else Optuna's own."""
        settings = asked.user_attrs.get(GIVEN)
        if settings is None:
            return self._proposals.propose(asked)
        with contextlib.suppress(Rejected):
            self._proposals.propose(asked)
        return suggestion(self._proposals, settings).proposal

    def _repaired(self) -> TrialPlan | None:
        """A random configuration within the budget, given to Optuna as its own; nothing when none is left."""
        generator = np.random.default_rng((self._seed, self._planned))
        for _ in range(DRAWS_BEFORE_GIVING_UP):
            draw = RandomDraw(generator)
            try:
                found = self._proposals.propose(draw).signature
            except Rejected:
                continue
            if found not in self._known:
                self._ot_study.enqueue_trial(draw.used)
                asked = self._ot_study.ask()
                proposal = self._judge(asked)
                if proposal is not None:
                    return self._plan(asked, proposal)
        return None

    def _plan(self, asked: optuna.Trial, proposal: Proposal) -> TrialPlan:
        trial = f"{self._planned:04d}"
        asked.set_user_attr(TRIAL, trial)
        plan = plan_of(trial, proposal, self._proposals.budget, dict(asked.params), self._seed)
        self._ledger.trial(trial).write_plan(plan)
        self._numbers[trial] = asked.number
        self._known.add(proposal.signature)
        self._planned += 1
        return plan


def plan_of(trial: str, proposal: Proposal, budget: Budget, suggested: dict[str, Any], seed: int) -> TrialPlan:
    """The plan of a proposed trial. Its counts hold the task head exactly when the budget does."""
    count = proposal.count
    return TrialPlan(
        trial=trial,
        kind="trial",
        method=proposal.method,
        config=proposal.settings,
        suggested=suggested,
        seed=seed,
        trainable_parameters=budget.trainable(count),
        stored_parameters=count.stored_parameters + budget.head(count),
        adapter_bytes=count.adapter_bytes,
        head_parameters=count.head_parameters,
        peak_updated_parameters=count.peak_updated_parameters,
    )


def settle(ledger: Ledger, plan: TrialPlan, result: dict[str, Any] | None, error: bool) -> TrialResult:
    """How a trial ended: as its worker recorded, else stopped at a rung, else failed."""
    folder = ledger.trial(plan.trial)
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
    """The last line of the traceback where the worker could still write one."""
    try:
        return folder.error.read_text(encoding="utf-8").strip().splitlines()[-1][:300]
    except (OSError, IndexError):
        return "its worker process died"
