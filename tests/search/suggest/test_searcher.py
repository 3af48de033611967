"""The searcher, asked as Ray Tune asks it: within the budget, without doubles, and with every end recorded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search.suggest import searcher
from search.suggest.study_trials import DUPLICATE, REJECTED, rejected_count
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.proposal import signature
from spaces.spec.spec import SearchSpec, parse_spec
from spaces.trials.records import Rung, TrialPlan, TrialResult
from tests.search.suggest.harness import ALL, Harness


def test_every_plan_is_within_the_budget_and_nothing_stays_running(spec: SearchSpec, inventory: Inventory) -> None:
    search = spec.search.model_copy(update={"sampler": "random"})  # draws what is rejected more often
    harness = Harness(spec.model_copy(update={"search": search}), inventory, Budget(20_000, 12_000), ALL, durable=True)
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


def test_varied_fields_of_the_training_are_knobs_of_all_methods(spec: SearchSpec, inventory: Inventory) -> None:
    varied = {"weight_decay": {"low": 1e-4, "high": 0.1, "log": True}, "optim": ["adafactor", "adamw_torch"]}
    values = {**spec.model_dump(mode="json"), "training": {"max_steps": 9, **varied}, "search": {"sampler": "random"}}
    spec = parse_spec(values)
    given = ({"method": "lora", "rank": 2, "training.weight_decay": 0.05},)
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL, trials=24, start_with=given)
    plans = []
    while (plan := harness.ask(f"tune{len(plans)}")) is not None:
        harness.finish(f"tune{len(plans)}", plan, 0.5 + len(plans) / 100)
        plans.append(plan)
    assert plans[0].training == {"weight_decay": 0.05, "optim": "adamw_torch"}
    assert plans[2].training == {"weight_decay": 0.01, "optim": "adamw_torch"}  # a published default
    assert all(1e-4 <= plan.training["weight_decay"] <= 0.1 for plan in plans)
    assert {plan.training["optim"] for plan in plans} == {"adafactor", "adamw_torch"}
    for plan in plans[1:]:
        suggested = {name: plan.suggested[f"training.{name}"] for name in varied}
        assert plan.training == suggested
    again = Harness(spec, inventory, Budget(68_000, 200), ALL, trials=24, start_with=given)
    known = {signature(plan.method, plan.config, plan.training) for plan in plans}
    assert again.searcher._known == known


def test_a_study_that_fails_as_a_trial_ends_ends_the_search_and_not_the_trial(
    spec: SearchSpec, inventory: Inventory
) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL, durable=True)
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


def test_equal_configurations_are_trained_once(
    spec: SearchSpec, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "DRAWS_BEFORE_GIVING_UP", 500)  # there are four configurations
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


def test_repairs_go_on_until_none_is_new_and_then_are_not_looked_for_again(
    spec: SearchSpec, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "ASKS_BEFORE_REPAIR", 0)
    monkeypatch.setattr(searcher, "DRAWS_BEFORE_GIVING_UP", 60)  # there are three configurations
    fixed = {"lora": {"rank": [1, 2, 3], "targets": "qv", "layers": "all", "learning_rate": 1e-3}}
    harness = Harness(spec, inventory, Budget(68_000, 200), fixed)
    plans = [harness.ask(name) for name in "abc"]
    assert sorted(plan.config["rank"] for plan in plans if plan is not None) == [1, 2, 3]
    assert harness.ask("d") is None
    monkeypatch.setattr(searcher, "DRAWS_BEFORE_GIVING_UP", 0)
    monkeypatch.setattr(harness.searcher._proposer, "ask", pytest.fail)
    monkeypatch.setattr(searcher, "ASKS_BEFORE_REPAIR", 1)
    assert harness.ask("e") is None
