"""Syne Tune's MOASHA (0.16), which is installed for this benchmark only: `pip install syne-tune`.

It draws configurations at random from NumPy's global generator, whatever its seed, so its space here is the number
from which a configuration within the budget is drawn. The priority by which it stops is, in this version, the list of
trials from best to worst where their ranks are meant: a trial goes on when the worst trial stands early in the list.
`mended` hands it the ranks. Its parameters come as their logarithm, for distances within a front are Euclidean.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import randint
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import NonDominatedPriority
from syne_tune.optimizer.schedulers.multiobjective.non_dominated_priority import (
    compute_epsilon_net,
    pareto_efficient,
)

from search.suggest.searcher import plan_of
from spaces.space.proposal import Proposal, Rejected
from spaces.trials.records import REDUCTION_FACTOR, Rung, TrialPlan, TrialResult, rung_steps
from tests.bench.replay.settings import Policy, Setting
from tests.bench.replay.simulation import Agent
from tests.spaces.random_suggester import RandomSuggester


class Ranks(NonDominatedPriority):  # type: ignore[misc]
    """Ranks by fronts, and within a front by its epsilon net."""

    def priority_unsafe(self, objectives: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        ranks = np.zeros(len(objectives), dtype=np.int64)
        left = np.arange(len(objectives))
        while left.size:
            best = pareto_efficient(objectives[left])
            ranks[left[best]] = len(objectives) - left.size + compute_epsilon_net(objectives[left[best]], dim=self.dim)
            left = left[~best]
        return ranks


class Moasha:
    """MOASHA on error and parameters, both minimised."""

    def __init__(self, setting: Setting, mended: bool) -> None:
        self._setting = setting
        self._suggested = 0
        steps = rung_steps(setting.spec.training.max_steps, setting.spec.search.rungs)
        np.random.seed(setting.spec.search.seed)
        self._scheduler = MOASHA(
            {"draw": randint(0, 2**31 - 1)},
            metrics=["error", "size"],
            time_attr="steps",
            max_t=steps[-1],
            grace_period=steps[0],
            reduction_factor=REDUCTION_FACTOR,
            multiobjective_priority=(Ranks if mended else NonDominatedPriority)(),
            random_seed=setting.spec.search.seed,
        )

    def suggest(self) -> TrialPlan | None:
        number = self._scheduler.suggest().config["draw"]
        name = f"{self._suggested:04d}"
        self._suggested += 1
        seed = self._setting.spec.search.seed
        plan = plan_of(name, self._drawn(number), self._setting.space.budget, {}, seed)
        self._scheduler.on_trial_add(_trial(plan))
        return plan

    def _drawn(self, number: int) -> Proposal:
        generator = np.random.default_rng(number)
        while True:
            try:
                return self._setting.space.propose(RandomSuggester(generator))
            except Rejected:
                continue

    def goes_on(self, plan: TrialPlan, rung: Rung) -> bool:
        decision = self._scheduler.on_trial_result(_trial(plan), self._reported(plan, rung))
        return bool(decision == SchedulerDecision.CONTINUE)

    def ended(self, plan: TrialPlan, result: TrialResult) -> None:
        if result.state == "finished":
            self._scheduler.on_trial_complete(_trial(plan), self._reported(plan, result.rungs[-1]))

    def _reported(self, plan: TrialPlan, rung: Rung) -> dict[str, Any]:
        metric = self._setting.spec.metric
        error = abs(metric.perfect - rung.quality)
        return {"steps": rung.step, "error": error, "size": math.log10(plan.trainable_parameters)}


def _trial(plan: TrialPlan) -> Trial:
    return Trial(int(plan.trial), {}, datetime.min)


def moasha(*, mended: bool) -> Policy:
    """MOASHA as it is, or with its priority mended."""

    def policy(setting: Setting) -> Agent:
        return Moasha(setting, mended)

    return policy
