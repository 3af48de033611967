"""The searcher against a real study in SQLite: the traps of Ray's OptunaSearch stay closed."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search.suggest.initial_points import earlier, enqueue, given_configurations
from search.suggest.proposer import Proposer
from search.suggest.samplers import regional_sampler
from search.suggest.searcher import PlannedSearch, plan_of
from search.suggest.study import open_study
from search.suggest.study_trials import DUPLICATE, REJECTED, TRIAL, reconcile, rejected_count
from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.from_settings import suggestion
from spaces.space.proposal import signature
from spaces.space.search_space import Space
from spaces.spec.spec import SearchSpec, parse_spec
from spaces.trials.ledger import Ledger
from spaces.trials.records import Rung, TrialPlan, TrialResult
from tests.spaces.conftest import inventory as inventory
from tracking.writing.search_writer import SearchWriter

ALL: dict[str, dict[str, Any]] = {"lora": {}, "sparta": {}, "surm-circulant": {}, "dst": {}}


@pytest.fixture
def spec(tmp_path: Path) -> SearchSpec:
    return parse_spec(
        {
            "name": "mine",
            "model": {"path": "m"},
            "data": {"train": "t.csv"},
            "budget": {"parameters": 68_000},
            "storage": str(tmp_path),
            "training": {"max_steps": 9},
        }
    )


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
    ) -> None:
        self.spec = spec
        self.ledger = Ledger(spec.home)
        spec.home.mkdir(exist_ok=True)
        self.study = open_study(spec, "id", spec.home)
        self.space = Space(methods, inventory, budget)
        self.trials = trials
        self.max_total_steps = max_total_steps
        self.given = [suggestion(self.space, settings) for settings in start_with]
        self.searcher = self.renew()

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


def test_every_plan_is_within_the_budget_and_nothing_stays_running(spec: SearchSpec, inventory: Inventory) -> None:
    search = spec.search.model_copy(update={"sampler": "random"})  # draws what is rejected more often
    harness = Harness(spec.model_copy(update={"search": search}), inventory, Budget(20_000, 12_000), ALL)
    plans = []
    while (plan := harness.ask(f"tune{len(plans)}")) is not None:
        assert harness.ledger.trial(plan.trial).plan() == plan
        harness.finish(f"tune{len(plans)}", plan, 0.5 + len(plans) / 100)
        plans.append(plan)
    assert len(plans) == 30
    assert all(12_000 <= plan.trainable_parameters <= 20_000 for plan in plans)
    assert len({plan.trial for plan in plans}) == 30
    assert [plan.method for plan in plans[:8:2]] == list(harness.space.names)  # in turns with what is drawn
    states = {trial.number: trial.state for trial in harness.study.trials}
    assert TrialState.RUNNING not in states.values()
    rejected = [trial for trial in harness.study.trials if REJECTED in trial.user_attrs]
    assert rejected
    assert rejected_count(harness.study) == len(rejected)
    assert all(trial.state is TrialState.PRUNED and trial.constraints["budget"] > 0 for trial in rejected)
    for plan in plans:
        assert harness.frozen(plan).values == [pytest.approx(0.5 + int(plan.trial) / 100), plan.trainable_parameters]


def test_a_study_that_fails_as_a_trial_ends_ends_the_search_and_not_the_trial(
    spec: SearchSpec, inventory: Inventory
) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL)
    plan, other = harness.ask("a"), harness.ask("b")
    assert plan is not None
    assert other is not None
    with sqlite3.connect(spec.home / "optuna.db") as database:
        database.execute("ALTER TABLE trial_values RENAME TO elsewhere")
    harness.finish("a", plan, 0.7)
    result = harness.ledger.trial(plan.trial).result()
    assert result is not None
    assert result.state == "finished"
    for once_more in (lambda: harness.ask("c"), harness.searcher.check):
        with pytest.raises(StorageInternalError):
            once_more()


def test_a_stopped_trial_is_pruned_not_complete(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL)
    plan = harness.ask("tune")
    assert plan is not None
    harness.ledger.trial(plan.trial).add_rung(Rung(step=3, quality=0.9))
    harness.searcher.on_trial_complete("tune", {"quality": 0.9, "trainable_parameters": 1, "steps": 3})
    assert harness.frozen(plan).state is TrialState.PRUNED
    result = harness.ledger.trial(plan.trial).result()
    assert result is not None
    assert (result.state, result.quality, result.steps) == ("stopped", None, 3)


@pytest.mark.parametrize("quality", [None, float("nan")])
def test_a_trial_without_a_quality_fails(spec: SearchSpec, inventory: Inventory, quality: float | None) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL)
    plan = harness.ask("tune")
    assert plan is not None
    harness.ledger.trial(plan.trial).write_result(TrialResult(state="failed", quality=quality, reason="nan"))
    harness.searcher.on_trial_complete("tune", {"trial": plan.trial})
    assert harness.frozen(plan).state is TrialState.FAIL


def test_a_dead_worker_fails_its_trial_alone(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL)
    first, second = harness.ask("one"), harness.ask("two")
    assert first is not None
    assert second is not None
    harness.searcher.on_trial_complete("one", error=True)
    harness.searcher.on_trial_complete("one", error=True)
    assert harness.frozen(first).state is TrialState.FAIL
    assert harness.frozen(second).state is TrialState.RUNNING
    result = harness.ledger.trial(first.trial).result()
    assert result is not None
    assert result.reason == "its worker process died"


def test_a_plan_whose_worker_died_is_handed_out_again(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL, trials=1)
    harness.renew(max_failures=1)
    plan = harness.ask("one")
    assert plan is not None
    # All are planned, but this one may come back.
    assert harness.searcher.suggest("two") is None
    harness.searcher.on_trial_complete("one", error=True)
    assert harness.frozen(plan).state is TrialState.RUNNING
    assert harness.ledger.trial(plan.trial).result() is None
    assert harness.ask("three") == plan
    harness.searcher.on_trial_complete("three", error=True)
    assert harness.frozen(plan).state is TrialState.FAIL
    assert harness.searcher.suggest("four") == Searcher.FINISHED
    # One that had recorded its end before its worker died is not trained again.
    harness.trials = 2
    harness.renew(max_failures=1)
    plan = harness.ask("five")
    assert plan is not None
    harness.ledger.trial(plan.trial).write_result(TrialResult(state="finished", quality=0.7, steps=9))
    harness.searcher.on_trial_complete("five", error=True)
    assert harness.frozen(plan).state is TrialState.COMPLETE
    assert harness.searcher.suggest("six") == Searcher.FINISHED


def test_equal_configurations_are_trained_once(spec: SearchSpec, inventory: Inventory) -> None:
    fixed = {"lora": {"rank": [1, 2], "targets": "qv", "layers": ["all", "last"], "learning_rate": 1e-3}}
    harness = Harness(spec, inventory, Budget(68_000, 200), fixed)
    plans = []
    while (plan := harness.ask(f"tune{len(plans)}")) is not None:
        harness.finish(f"tune{len(plans)}", plan, 0.5)
        plans.append(plan)
    settings = {(plan.config["rank"], plan.config["layers"]) for plan in plans}
    assert settings == {(1, "all"), (1, "last"), (2, "all"), (2, "last")}
    assert len(plans) == 4
    duplicates = [trial for trial in harness.study.trials if DUPLICATE in trial.user_attrs]
    assert duplicates
    assert all(trial.state is TrialState.FAIL for trial in duplicates)


def test_a_thin_budget_is_met_by_repair(spec: SearchSpec, inventory: Inventory) -> None:
    narrow = {"surm-circulant": {}, "lora": {}}
    harness = Harness(spec, inventory, Budget(800, 700), narrow, trials=5)
    plans = [harness.ask(f"tune{number}") for number in range(5)]
    counts = [plan.trainable_parameters for plan in plans if plan is not None]
    assert counts
    assert all(700 <= count <= 800 for count in counts)


def test_a_new_driver_goes_on_where_the_old_one_died(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL, trials=6)
    finished, unfinished, unseen = (harness.ask(name) for name in ("one", "two", "three"))
    assert finished is not None
    assert unfinished is not None
    assert unseen is not None
    harness.finish("one", finished, 0.6)
    # The worker of the third trial recorded its end, and the driver died before it heard of it.
    harness.ledger.trial(unseen.trial).write_result(TrialResult(state="finished", quality=0.7, steps=9))
    # And it died between asking Optuna and writing a plan.
    orphan = harness.study.ask().number

    reconcile(harness.study, harness.ledger, spec)
    assert harness.frozen(unseen).state is TrialState.COMPLETE
    assert harness.frozen(unfinished).state is TrialState.RUNNING
    assert harness.study.trials[orphan].state is TrialState.FAIL

    harness.renew(waiting=(unfinished,))
    plans = []
    while (plan := harness.ask(f"again{len(plans)}")) is not None:
        harness.finish(f"again{len(plans)}", plan, 0.5)
        plans.append(plan)
    assert plans[0] == unfinished
    assert len({plan.trial for plan in plans} | {finished.trial, unseen.trial}) == 6
    told = [trial for trial in harness.study.trials if TRIAL in trial.user_attrs]
    assert len(told) == 6
    assert {trial.state for trial in told} == {TrialState.COMPLETE}


@pytest.mark.parametrize("point", [(Ledger, "trial"), (optuna.Trial, "set_user_attr"), (optuna.Trial, "suggest_float")])
def test_what_was_asked_for_when_the_driver_was_killed_is_asked_again_and_counted_once(
    spec: SearchSpec, inventory: Inventory, monkeypatch: pytest.MonkeyPatch, point: tuple[type, str]
) -> None:
    configuration = {"method": "lora", "rank": 3, "learning_rate": 0.0031}
    harness = Harness(spec, inventory, Budget(68_000, 1), ALL, trials=6, start_with=(configuration,))

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*point, killed)
        with pytest.raises(KeyboardInterrupt):
            harness.searcher.suggest("killed")
    assert not harness.ledger.trials("trial")
    reconcile(harness.study, harness.ledger, spec)
    harness.renew()
    plans = []
    while (plan := harness.ask(f"tune{len(plans)}")) is not None:
        harness.finish(f"tune{len(plans)}", plan, 0.5)
        plans.append(plan)
    found = [trial.user_attrs[TRIAL] for trial in harness.study.trials if trial.user_attrs.get(TRIAL) is not None]
    assert sorted(found) == [plan.trial for plan in plans] == [f"{number:04d}" for number in range(6)]
    assert [plan.config["rank"] for plan in plans if plan.config["learning_rate"] == 0.0031] == [3]
    assert not [trial for trial in harness.study.trials if trial.state == TrialState.RUNNING]


def test_a_driver_that_was_killed_while_it_wrote_what_comes_first_loses_nothing(
    spec: SearchSpec, inventory: Inventory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configurations = tuple({"method": "lora", "rank": rank, "learning_rate": 0.0031} for rank in (1, 2, 3))
    elsewhere = spec.model_copy(update={"storage": str(tmp_path / "whole")})
    (tmp_path / "whole").mkdir()
    whole = Harness(elsewhere, inventory, Budget(68_000, 1), ALL, start_with=configurations)
    enqueue, done = optuna.Study.enqueue_trial, []

    def killed(*given: Any, **named: Any) -> None:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(enqueue(*given, **named))

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            Harness(spec, inventory, Budget(68_000, 1), ALL, start_with=configurations)
    again = Harness(spec, inventory, Budget(68_000, 1), ALL, start_with=configurations)
    waiting = [
        [(trial.system_attrs["fixed_params"], trial.user_attrs) for trial in one.study.trials] for one in (whole, again)
    ]
    assert len(waiting[0]) > 2
    assert waiting[0] == waiting[1]


def test_a_resumed_search_goes_on_as_if_it_had_not_been_interrupted(
    spec: SearchSpec, inventory: Inventory, tmp_path: Path
) -> None:
    found = []
    for interrupted in (False, True):
        folder = tmp_path / str(interrupted)
        folder.mkdir()
        harness = Harness(
            spec.model_copy(update={"storage": str(folder)}), inventory, Budget(68_000, 68), ALL, trials=14
        )
        plans: list[TrialPlan] = []
        while (plan := harness.ask(f"tune{len(plans)}")) is not None:
            harness.finish(f"tune{len(plans)}", plan, 0.5 + plan.trainable_parameters / 1e6)
            plans.append(plan)
            if interrupted and len(plans) in (3, 10):
                harness.renew()
        found.append(plans)
    assert found[0] == found[1]


def test_trials_whose_study_was_lost_end_all_the_same(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 68), ALL, trials=3)
    first, second = harness.ask("a"), harness.ask("b")
    assert first is not None
    assert second is not None
    harness.finish("a", first, 0.6)
    optuna.delete_study(study_name=harness.study.study_name, storage=harness.study._storage)
    harness.study = open_study(spec, "id", spec.home)
    reconcile(harness.study, harness.ledger, spec)
    harness.renew(waiting=(second,))
    assert harness.ask("c") == second
    harness.finish("c", second, 0.7)
    third = harness.ask("d")
    assert third is not None
    harness.finish("d", third, 0.8)
    assert harness.ask("e") is None
    assert [harness.frozen(plan).state for plan in (first, second, third)] == [TrialState.COMPLETE] * 3


def test_tunes_snapshot_holds_no_state(spec: SearchSpec, inventory: Inventory, tmp_path: Path) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL)
    harness.searcher.save(str(tmp_path / "snapshot"))
    assert (tmp_path / "snapshot").stat().st_size < 100


def test_no_trial_begins_that_might_exceed_the_steps(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 68), ALL, max_total_steps=30)
    plans = [harness.ask(name) for name in "abc"]
    assert None not in plans
    # Three trials may use 27 of 30 steps: while they run a fourth has to wait, for one of them may be stopped early.
    assert harness.searcher.suggest("d") is None
    first = plans[0]
    assert first is not None
    harness.ledger.trial(first.trial).add_rung(Rung(step=3, quality=0.5))
    harness.searcher.on_trial_complete("a", {"train_seconds": 1.0})
    fourth = harness.ask("d")
    assert harness.searcher.suggest("e") is None
    for name, plan in zip("bcd", [*plans[1:], fourth], strict=True):
        assert plan is not None
        harness.finish(name, plan, 0.6)
    assert harness.searcher.suggest("e") == Searcher.FINISHED
    # Taken up again, the steps made before still count.
    harness.renew()
    assert harness.ask("f") is None


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random", "qmc"])
def test_every_sampler_keeps_the_budget_and_leaves_no_zombie(
    spec: SearchSpec, inventory: Inventory, sampler: str
) -> None:
    search = spec.search.model_copy(update={"sampler": sampler, "trials": 16})
    budget = Budget(68_000, 6_800)
    harness = Harness(spec.model_copy(update={"search": search}), inventory, budget, ALL, trials=16)
    plans = []
    for number in range(16):
        plan = harness.ask(str(number))
        assert plan is not None
        plans.append(plan)
        if number % 4 == 3:
            harness.searcher.on_trial_complete(str(number), None, error=True)
        else:
            harness.finish(str(number), plan, quality(plan))
    assert all(6_800 <= plan.trainable_parameters <= 68_000 for plan in plans)
    assert len({signature(plan.method, plan.config) for plan in plans}) == 16
    assert harness.ask("more") is None
    states = [trial.state for trial in harness.study.get_trials()]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.COMPLETE) == 12


def quality(plan: TrialPlan) -> float:
    """Better with more parameters, with sparta and at the prior."""
    rate = abs(math.log(plan.suggested.get("learning_rate_multiplier", 1.0)))
    return math.log10(plan.trainable_parameters) / 6 + 0.5 * (plan.method == "sparta") - 0.05 * rate


def test_nsga2_is_more_than_random_search(spec: SearchSpec, inventory: Inventory) -> None:
    """On knobs that only one method has, Optuna's defaults resample every gene of every child."""
    search = spec.search.model_copy(update={"sampler": "nsga2", "trials": 40})
    harness = Harness(spec.model_copy(update={"search": search}), inventory, Budget(68_000, 6_800), ALL, trials=40)
    methods = []
    for number in range(40):
        plan = harness.ask(str(number))
        assert plan is not None
        methods.append(plan.method)
        harness.finish(str(number), plan, quality(plan))
    assert methods[-16:].count("sparta") > methods[:16].count("sparta")


def test_a_search_that_goes_on_draws_anew(spec: SearchSpec, inventory: Inventory) -> None:
    search = spec.search.model_copy(update={"sampler": "random"})
    spec = spec.model_copy(update={"search": search})
    harness = Harness(spec, inventory, Budget(68_000, 6_800), ALL)
    for number in range(8):
        plan = harness.ask(str(number))
        assert plan is not None
        harness.finish(str(number), plan, 0.5)
    harness.study = open_study(spec, "id", spec.home)
    harness.renew()
    for number in range(8, 16):
        assert harness.ask(str(number)) is not None
    assert not any(DUPLICATE in trial.user_attrs for trial in harness.study.get_trials())


def test_given_configurations_come_first_and_exactly(spec: SearchSpec, inventory: Inventory) -> None:
    wanted = [
        {"method": "lora", "rank": 3, "targets": "qkv", "learning_rate": 5e-3},
        {"method": "sparta", "density": 0.0071, "targets": "mlp", "learning_rate": 2.1e-3},
    ]
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL, start_with=tuple(wanted))
    for number, settings in enumerate(wanted):
        plan = harness.ask(str(number))
        assert plan is not None
        assert {"method": plan.method, **{knob: plan.config[knob] for knob in settings if knob != "method"}} == settings
        assert harness.frozen(plan).params["method"] == plan.method
        harness.finish(str(number), plan, 0.6)
    # Taken up again, they are not tried a second time.
    harness.renew()
    plan = harness.ask("next")
    assert plan is not None
    assert plan.config["learning_rate"] not in (5e-3, 2.1e-3)


def test_a_given_configuration_outside_the_budget_is_an_error(spec: SearchSpec, inventory: Inventory) -> None:
    search = spec.search.model_copy(update={"start_with": ({"method": "lora", "rank": 64, "targets": "all"},)})
    space = Space(ALL, inventory, Budget(68_000, 200))
    with pytest.raises(RequestError, match=r"search\.start_with\[0\]: lora would train .* outside the budget"):
        given_configurations(spec.model_copy(update={"search": search}), space)


def test_a_search_starts_from_the_fronts_of_earlier_ones(
    spec: SearchSpec, inventory: Inventory, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    space = Space(ALL, inventory, Budget(68_000, 200))
    ranks = {1: 0.7, 2: 0.8, 3: 0.75}
    earlier_spec = spec.model_copy(update={"name": "before"})
    (tmp_path / "before").mkdir()
    writer = SearchWriter(uri, earlier_spec, "id", earlier_spec.home)
    writer.start_search(space.budget, inventory.base_parameters, inventory.head_parameters)
    for rank, quality_ in ranks.items():
        proposal = suggestion(space, {"method": "lora", "rank": rank}).proposal
        plan = plan_of(f"{rank:04d}", proposal, space.budget, {}, seed=0)
        writer.start_trial(plan)
        writer.end_trial(plan, TrialResult(state="finished", quality=quality_, steps=9))
    assert writer.close(60) == 0
    later = spec.model_copy(update={"search": spec.search.model_copy(update={"start_from": ("before",)})})
    found = [one.proposal.settings["rank"] for one in earlier(later, space, uri)]
    assert found == [1, 2]  # rank 3 was no better than rank 2
    other = dataclasses.replace(inventory, base_parameters=1_000_000)
    with pytest.raises(RequestError, match="before had another base, of 22,713,216 parameters"):
        list(earlier(later, Space(ALL, other, Budget(68_000, 200)), uri))
    unknown = spec.model_copy(update={"search": spec.search.model_copy(update={"start_from": ("never",)})})
    with pytest.raises(RequestError, match=r"search\.start_from: .*never"):
        list(earlier(unknown, space, uri))
