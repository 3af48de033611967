"""The searcher that Ray Tune asks for trials: each within the budget, written into the ledger before it starts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search.suggest.plan_queue import PlanQueue
from search.suggest.proposer import Proposer
from search.suggest.study_trials import DUPLICATE, GIVEN, REJECTED, TRIAL, numbers_by_trial, tell
from spaces.model.budget import Budget
from spaces.space.from_settings import suggestion
from spaces.space.proposal import Proposal, Rejected, signature
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan, TrialResult

ASKS_BEFORE_REPAIR = 50
DRAWS_BEFORE_GIVING_UP = 10_000

GoesOn = Callable[[TrialPlan, TrialResult, Collection[TrialPlan]], bool]
"""Takes the plan of a training that ended, its result and the plans that run; tells if the search is to go on."""


class PlannedSearch(Searcher):  # type: ignore[misc]
    """Hands out the plans in `waiting` first, then proposes trials until `search.trials` of them are planned.

    A suggestion outside the budget is never trained: its Optuna trial ends as PRUNED with a violated constraint,
    from which TPE learns, and the proposer is asked again. A configuration that was planned before is not trained
    twice. After many such answers in a row the configuration is repaired: drawn at random within the budget.
    Every trial is written into the ledger before it starts, and its end before Optuna is told.

    Args:
        proposer: Asks the study for trials.
        ledger: The record of the search; its plans and results are taken up.
        spec: Gives the number of trials, the limits on steps and failures, the seed and the metric.
        waiting: PlanQueue without a result, the reference too.
        on_rejected: Called for every suggestion outside the budget.
        goes_on: Called at the end of every training; once it returns False, nothing more is handed out.
    """

    def __init__(
        self,
        proposer: Proposer,
        ledger: Ledger,
        spec: SearchSpec,
        *,
        waiting: Iterable[TrialPlan] = (),
        on_rejected: Callable[[], None] = lambda: None,
        goes_on: GoesOn = lambda plan, result, running: True,
    ) -> None:
        super().__init__(metric="quality", mode=spec.metric.mode)
        self.plans = PlanQueue(ledger, waiting, retries=spec.search.max_failures)
        self._proposer = proposer
        self._ledger = ledger
        self._spec = spec
        self._on_rejected = on_rejected
        self._goes_on = goes_on
        self._over = False
        self._lost: optuna.exceptions.StorageInternalError | None = None
        self._numbers = numbers_by_trial(proposer.study)
        plans = [folder.plan() for folder in ledger.trials("trial")]
        results = [ledger.trial(plan.trial).result() for plan in plans]
        self._steps = sum(result.steps for result in results if result is not None)
        self._limit = spec.search.trials
        self._planned = len(plans)
        self._known = {signature(plan.method, plan.config, plan.training) for plan in plans}
        self._take_up()

    def _take_up(self) -> None:
        """Tell the proposer what an earlier driver tried."""
        trials = self._proposer.study.get_trials(deepcopy=False)
        for folder in self._ledger.trials():
            plan, result = folder.plan(), folder.result()
            if plan.kind == "trial" and plan.trial in self._numbers:
                asked = trials[self._numbers[plan.trial]]
                self._proposer.begun(plan, asked.params, asked.distributions)
            if result is not None and (plan.kind == "reference" or plan.trial in self._numbers):
                self._proposer.ended(plan, result)

    def __getstate__(self) -> dict[str, Any]:
        """Keep out of Tune's snapshot: the study and the ledger are durable themselves."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next configuration, None while running trials may still make room for one, else FINISHED."""
        self.check()
        if self._over:
            return str(Searcher.FINISHED)
        plan = self.plans.next() or self._next()
        if plan is not None:
            return self.plans.hand_out(trial_id, plan)
        # A running trial may use fewer steps than it could, or come back when its worker dies.
        return None if self.plans.out else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end durably, then tell Optuna."""
        back = self.plans.take_back(trial_id, result, error)
        if back is None:
            return
        plan, ended = back
        self._proposer.ended(plan, ended)
        if plan.kind == "trial":
            self._steps += ended.steps
            try:
                tell(self._proposer.study, self._numbers[plan.trial], plan, ended, self._spec.metric)
            except optuna.exceptions.StorageInternalError as error:
                # Raised here, Tune would take it for a failure of this trial, whose end is recorded.
                self._lost = error
        if not self._over:
            self._over = not self._goes_on(plan, ended, self.plans.out.values())

    def check(self) -> None:
        """See that Optuna was told of every trial that ended.

        Raises:
            StorageInternalError: when the study's database failed as a trial ended.
        """
        if self._lost is not None:
            raise self._lost

    def save(self, checkpoint_path: str) -> None:
        """Write a placeholder, see `__getstate__`; Tune insists on a file."""
        Path(checkpoint_path).write_text("see the study and the ledger of the search\n", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see `save`."""

    def _exhausted(self) -> bool:
        """Return whether one more trial could exceed the limit on steps."""
        running = sum(plan.kind == "trial" for plan in self.plans.out.values())
        limit = self._spec.search.max_total_steps
        return limit is not None and self._steps + (running + 1) * self._spec.training.max_steps > limit

    def _next(self) -> TrialPlan | None:
        if self._planned >= self._limit or self._exhausted():
            return None
        for _ in range(ASKS_BEFORE_REPAIR):
            asked = self._proposer.ask()
            proposal = self._judge(asked)
            if proposal is not None:
                return self._plan(asked, proposal)
        plan = self._repaired()
        if plan is None:
            self._limit = self._planned  # nothing is left to find, and looking for it takes long
        return plan

    def _judge(self, asked: optuna.Trial) -> Proposal | None:
        """Return the proposal of an Optuna trial; end the trial and return None where it is not to be trained."""
        try:
            proposal = self._proposed(asked)
        except Rejected as rejection:
            self._on_rejected()
            asked.set_user_attr(REJECTED, str(rejection))
            asked.set_constraint("budget", rejection.excess)
            self._proposer.study.tell(asked, state=TrialState.PRUNED)
            return None
        if proposal.signature in self._known:
            asked.set_user_attr(DUPLICATE, True)
            self._proposer.study.tell(asked, state=TrialState.FAIL)
            return None
        return proposal

    def _proposed(self, asked: optuna.Trial) -> Proposal:
        """Return the configuration that the user gave, exactly, or else Optuna's own.

        The knobs may only come near a given configuration; they are suggested all the same, so that Optuna has them.
        """
        space, settings = self._proposer.space, asked.user_attrs.get(GIVEN)
        if settings is None:
            return space.propose(asked)
        with contextlib.suppress(Rejected):
            space.propose(asked)
        return suggestion(space, settings).proposal

    def _repaired(self) -> TrialPlan | None:
        """Enqueue a random configuration within the budget and plan it; None when no new one is found."""
        seed = int(np.random.SeedSequence((self._spec.search.seed, self._planned)).generate_state(1)[0])
        draws = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        for _ in range(DRAWS_BEFORE_GIVING_UP):
            drawn = draws.ask()
            try:
                found = self._proposer.space.propose(drawn).signature
            except Rejected:
                continue
            if found not in self._known:
                self._proposer.study.enqueue_trial(drawn.params)
                asked = self._proposer.study.ask()
                proposal = self._judge(asked)
                if proposal is not None:
                    return self._plan(asked, proposal)
        return None

    def _plan(self, asked: optuna.Trial, proposal: Proposal) -> TrialPlan:
        trial = f"{self._planned:04d}"
        asked.set_user_attr(TRIAL, trial)
        plan = plan_of(trial, proposal, self._proposer.space.budget, dict(asked.params), self._spec.search.seed)
        self._ledger.trial(trial).write_plan(plan)
        self._proposer.begun(plan, asked.params, asked.distributions)
        self._numbers[trial] = asked.number
        self._known.add(proposal.signature)
        self._planned += 1
        return plan


def plan_of(trial: str, proposal: Proposal, budget: Budget, suggested: dict[str, Any], seed: int) -> TrialPlan:
    """Return the plan of a proposed trial. Its counts include the task head exactly when the budget does."""
    count = proposal.count
    return TrialPlan(
        trial=trial,
        kind="trial",
        method=proposal.method,
        config=proposal.settings,
        suggested=suggested,
        training=dict(proposal.training),
        seed=seed,
        trainable_parameters=budget.trainable(count),
        stored_parameters=count.stored_parameters + budget.head(count),
        adapter_bytes=count.adapter_bytes,
        head_parameters=count.head_parameters,
        peak_updated_parameters=count.peak_updated_parameters,
    )
