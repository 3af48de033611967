"""A subclass of Ray's OptunaSearch with a hard budget, several objectives told right, and a durable record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from search.driver.outlook import Outlook, steps_reached
from search.suggest.plan_queue import Plans
from search.suggest.proposer import Asker
from search.suggest.study_trials import DUPLICATE, GIVEN, REJECTED, TRIAL, numbers_by_trial, tell
from spaces.model.budget import Budget
from spaces.space.from_settings import Suggestion, suggestion
from spaces.space.proposal import Proposal, Rejected, signature
from spaces.space.search_space import Space
from spaces.space.suggesters import RandomDraw
from spaces.spec.metrics import Metric
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan, TrialResult

ASKS_BEFORE_REPAIR = 50
DRAWS_BEFORE_GIVING_UP = 10_000


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
        max_failures: int,
        noise: Callable[[float], float],
        sampler_of: Callable[[int], BaseSampler] | None = None,
        max_total_steps: int | None = None,
        given: Iterable[Suggestion] = (),
        on_rejected: Callable[[], None] = lambda: None,
        waiting: Iterable[TrialPlan] = (),
        outlook: Outlook | None = None,
        on_hopeless: Callable[[str], None] = lambda reason: None,
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
        self.plans = Plans(ledger, waiting, retries=max_failures)
        self._numbers = numbers_by_trial(study)
        self._on_rejected = on_rejected
        self._outlook = outlook
        self._on_hopeless = on_hopeless
        self._hopeless = False
        self._lost: optuna.exceptions.StorageInternalError | None = None
        self._max_steps = max_steps
        self._max_total_steps = max_total_steps
        plans = [folder.plan() for folder in ledger.trials("trial")]
        results = [ledger.trial(plan.trial).result() for plan in plans]
        self._steps = sum(result.steps for result in results if result is not None)
        self._planned = len(plans)
        self._known = {signature(plan.method, plan.config) for plan in plans}
        if not plans:
            # An earlier driver may have been killed in the middle of this.
            for one in islice(given, len(study.get_trials(deepcopy=False)), None):
                settings = {"method": one.proposal.method, **one.proposal.settings}
                study.enqueue_trial(dict(one.knobs), user_attrs={GIVEN: settings})
        self._asker = Asker(study, space, metric, max_steps=max_steps, sampler_of=sampler_of, noise=noise, seed=seed)
        self._remember(ledger)

    def _remember(self, ledger: Ledger) -> None:
        """Tell the asker what an earlier driver tried."""
        trials = self._ot_study.get_trials(deepcopy=False)
        for folder in ledger.trials():
            plan, result = folder.plan(), folder.result()
            if plan.kind == "trial" and plan.trial in self._numbers:
                asked = trials[self._numbers[plan.trial]]
                self._asker.begun(plan, asked.params, asked.distributions)
            if result is not None and (plan.kind == "reference" or plan.trial in self._numbers):
                self._asker.ended(plan, result)
            if result is not None and self._outlook is not None:
                self._outlook.ended(plan, result)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it belongs into Tune's snapshot: the study and the ledger are durable themselves."""
        return {}

    def _setup_study(self, mode: str | list[str]) -> None:
        """The study is made by the caller, in a durable storage."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next configuration; nothing while trials run from which more may follow; FINISHED when there is none."""
        self.check()
        if self._hopeless:
            return str(Searcher.FINISHED)
        plan = self.plans.next() or self._next()
        if plan is not None:
            return self.plans.hand_out(trial_id, plan)
        # What runs may use fewer steps than it could, or come back when its worker dies.
        return None if self.plans.out else str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Rungs are kept by the trainable; Optuna takes no intermediate values for several objectives."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end durably, then tell Optuna."""
        back = self.plans.take_back(trial_id, result, error)
        if back is None:
            return
        plan, ended = back
        self._asker.ended(plan, ended)
        if plan.kind == "trial":
            self._steps += ended.steps
            try:
                tell(self._ot_study, self._numbers[plan.trial], plan, ended, self._objective)
            except optuna.exceptions.StorageInternalError as error:
                # Tune would take it for a failure of this trial, whose end is recorded.
                self._lost = error
        self._look_ahead(plan, ended)

    def _look_ahead(self, plan: TrialPlan, ended: TrialResult) -> None:
        """See whether, after this end, there is hope for what is still to be trained."""
        if self._outlook is None or self._hopeless:
            return
        self._outlook.ended(plan, ended)
        if ended.state == "failed":
            reached = (steps_reached(self._ledger.trial(one.trial)) for one in self.plans.out.values())
            reason = self._outlook.verdict(max(reached, default=0))
            if reason is not None:
                self._hopeless = True
                self._on_hopeless(reason)

    def check(self) -> None:
        """See that Optuna was told of all that ended.

        Raises:
            StorageInternalError: when the database of the study failed meanwhile.
        """
        if self._lost is not None:
            raise self._lost

    def save(self, checkpoint_path: str) -> None:
        """See `__getstate__`."""
        Path(checkpoint_path).write_text("see the study and the ledger of the search\n", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""

    def _exhausted(self) -> bool:
        """Whether one more trial could exceed the limit on steps."""
        running = sum(plan.kind == "trial" for plan in self.plans.out.values())
        limit = self._max_total_steps
        return limit is not None and self._steps + (running + 1) * self._max_steps > limit

    def _next(self) -> TrialPlan | None:
        if self._planned >= self._limit or self._exhausted():
            return None
        for _ in range(ASKS_BEFORE_REPAIR):
            asked = self._asker.ask()
            proposal = self._judge(asked)
            if proposal is not None:
                return self._plan(asked, proposal)
        plan = self._repaired()
        if plan is None:
            self._limit = self._planned  # nothing is left to find, and looking for it takes long
        return plan

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
        self._asker.begun(plan, asked.params, asked.distributions)
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
