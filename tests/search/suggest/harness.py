"""A searcher with its study and its ledger, driven by hand as Tune would."""

from __future__ import annotations

from typing import Any

import optuna

from search.suggest.initial_points import enqueue
from search.suggest.proposer import Proposer
from search.suggest.samplers import make_sampler, regional_sampler
from search.suggest.searcher import PlannedSearch
from search.suggest.study import open_study
from search.suggest.study_trials import TRIAL
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.from_settings import suggestion
from spaces.space.search_space import Space
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import Rung, TrialPlan, TrialResult

ALL: dict[str, dict[str, Any]] = {"lora": {}, "sparta": {}, "surm-circulant": {}, "dst": {}}


class Harness:
    """A searcher with its study and its ledger, driven by hand as Tune would."""

    def __init__(
        self,
        spec: SearchSpec,
        inventory: Inventory,
        budget: Budget,
        methods: dict[str, dict[str, Any]],
        trials: int = 30,
        max_total_steps: int | None = None,
        start_with: tuple[dict[str, Any], ...] = (),
        *,
        durable: bool = False,
    ) -> None:
        """Make the search; `durable`: its study is in a database, as that of a real search, and not in memory."""
        self.spec = spec
        self.ledger = Ledger(spec.home)
        spec.home.mkdir(exist_ok=True)
        self.study = open_study(spec, "id", spec.home) if durable else self._study_in_memory()
        self.space = Space(methods, inventory, budget, training=spec.training.knobs)
        self.trials = trials
        self.max_total_steps = max_total_steps
        self.given = [suggestion(self.space, settings) for settings in start_with]
        self.searcher = self.renew()

    def _study_in_memory(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = make_sampler(self.spec, taken=0)
        return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    def renew(self, waiting: tuple[TrialPlan, ...] = (), max_failures: int = 0) -> PlannedSearch:
        enqueue(self.study, self.ledger, self.given)
        limits = {"trials": self.trials, "max_failures": max_failures, "max_total_steps": self.max_total_steps}
        spec = self.spec.model_copy(update={"search": self.spec.search.model_copy(update=limits)})
        proposer = Proposer(
            self.study,
            self.space,
            spec.metric,
            max_steps=spec.training.max_steps,
            sampler_of=regional_sampler(spec),
            noise=lambda quality: 0.01,
            seed=spec.search.seed,
        )
        self.searcher = PlannedSearch(proposer, self.ledger, spec, waiting=waiting)
        return self.searcher

    def ask(self, tune_id: str) -> TrialPlan | None:
        config = self.searcher.suggest(tune_id)
        return TrialPlan.model_validate(config["plan"]) if isinstance(config, dict) else None

    def finish(self, tune_id: str, plan: TrialPlan, quality: float) -> None:
        """The worker records first, then Tune tells the searcher."""
        rungs = (Rung(step=9, quality=quality),)
        self.ledger.trial(plan.trial).write_result(TrialResult(state="finished", quality=quality, steps=9, rungs=rungs))
        self.searcher.on_trial_complete(
            tune_id, {"quality": quality, "trainable_parameters": plan.trainable_parameters}
        )

    def frozen(self, plan: TrialPlan) -> optuna.trial.FrozenTrial:
        return next(trial for trial in self.study.trials if trial.user_attrs.get(TRIAL) == plan.trial)
