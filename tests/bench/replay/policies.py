"""Ways to search, by name: the project's own classes as a search drives them, with other samplers and stoppers.

Those of Optuna alone begin without the published defaults, as a script would. All keep the budget.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import optuna
from ray.tune.schedulers import TrialScheduler

from search.driver.early_stopping import make_stopper
from search.suggest.proposer import Proposer
from search.suggest.samplers import make_sampler, regional_sampler, tpe
from search.suggest.searcher import PlannedSearch
from spaces.methods.base.knobs import Value
from spaces.space.search_space import Space
from spaces.spec.metrics import standard_error
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import Rung, TrialPlan, TrialResult
from tests.bench.replay.settings import Policy, Setting
from tests.bench.replay.simulation import Agent
from tests.bench.replay.variants import ByNoise, Foreseeing, Forgetting, Reaching, stopper_by


class Unpublished(Space):
    """A space whose published defaults are nobody's first choice."""

    def published(self) -> Iterator[dict[str, Value]]:
        """Nothing."""
        return iter(())


class Planned:
    """`PlannedSearch` and a stopper of Ray Tune, called as Tune and the trainable do."""

    def __init__(self, search: PlannedSearch, stopper: TrialScheduler, ledger: Ledger) -> None:
        self._search = search
        self._stopper = stopper
        self._ledger = ledger
        self._suggested: dict[str, str] = {}

    def suggest(self) -> TrialPlan | None:
        number = str(len(self._suggested))
        config = self._search.suggest(number)
        if not isinstance(config, dict):
            return None
        plan = TrialPlan.model_validate(config["plan"])
        self._suggested[plan.trial] = number
        self._stopper.on_trial_add(None, _tune_trial(plan))
        return plan

    def goes_on(self, plan: TrialPlan, rung: Rung) -> bool:
        self._ledger.trial(plan.trial).add_rung(rung)
        reported = {"steps": rung.step, "quality": rung.quality}
        return bool(self._stopper.on_trial_result(None, _tune_trial(plan), reported) == TrialScheduler.CONTINUE)

    def ended(self, plan: TrialPlan, result: TrialResult) -> None:
        reported = {"steps": result.steps, "quality": result.rungs[-1].quality, "state": result.state}
        if result.state == "finished":
            self._ledger.trial(plan.trial).add_rung(result.rungs[-1])
            self._ledger.trial(plan.trial).write_result(result)
            self._stopper.on_trial_complete(None, _tune_trial(plan), reported)
        self._search.on_trial_complete(self._suggested[plan.trial], reported)


def _tune_trial(plan: TrialPlan) -> SimpleNamespace:
    return SimpleNamespace(trial_id=plan.trial, config={"plan": plan.model_dump(mode="json")})


StopperMaker = Callable[[SearchSpec, Ledger, int], TrialScheduler]


def planned(
    *,
    alone: bool = False,
    searcher: type[PlannedSearch] = PlannedSearch,
    stopper_of: StopperMaker = make_stopper,
    **search: str,
) -> Policy:
    """The project's search with `search` set in its spec, an in-memory study and no limit on trials of its own.

    `alone`: Optuna's sampler has the whole study and decides all knobs, sizes too.
    """

    def policy(setting: Setting) -> Agent:
        values = setting.spec.search.model_copy(update=search)
        spec = setting.spec.model_copy(update={"search": values})
        space = setting.space
        if alone:
            space = Unpublished(space.methods, space.inventory, space.budget, space.seed)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            directions=["maximize" if spec.metric.mode == "max" else "minimize", "minimize"],
            sampler=tpe(values.seed) if alone and values.sampler == "tpe" else make_sampler(spec, taken=0),
        )
        ledger = Ledger(setting.folder)
        proposer = Proposer(
            study,
            space,
            spec.metric,
            max_steps=spec.training.max_steps,
            sampler_of=None if alone else regional_sampler(spec),
            noise=partial(standard_error, spec.metric, rows=setting.validation_rows),
            seed=values.seed,
        )
        limits = values.model_copy(update={"trials": 10**6, "max_failures": 0, "max_total_steps": None})
        chosen = searcher(proposer, ledger, spec.model_copy(update={"search": limits}))
        return Planned(chosen, stopper_of(spec, ledger, setting.validation_rows), ledger)

    return policy


POLICIES: dict[str, Policy] = {
    "random": planned(sampler="random", stopper="none", alone=True),
    "tpe": planned(sampler="tpe", stopper="none", alone=True),
    "tpe, asha": planned(sampler="tpe", stopper="asha", alone=True),
    "nsga2": planned(sampler="nsga2", stopper="none", alone=True),
    "ours": planned(),
    "ours, nobody stopped": planned(stopper="none"),
    "ours, random": planned(sampler="random"),
    "ours, stopped by noise": planned(stopper_of=stopper_by(ByNoise)),
    "ours, stopped past reach": planned(stopper_of=stopper_by(Reaching)),
    "ours, stopped foreseen": planned(searcher=Foreseeing),
    "ours, stopped are worst": planned(searcher=Forgetting),
}
COMPARED = ("random", "tpe", "tpe, asha", "nsga2", "moasha", "moasha, mended", "ours")
if importlib.util.find_spec("syne_tune"):
    from tests.bench.replay.moasha import moasha

    POLICIES |= {"moasha": moasha(mended=False), "moasha, mended": moasha(mended=True)}
