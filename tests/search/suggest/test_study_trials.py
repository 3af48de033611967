"""Optuna's trials agree with the ledger, whenever a driver was killed."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from search.suggest.study import open_study
from search.suggest.study_trials import AGAIN, TRIAL, numbers_by_trial, reconcile, tell
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.spec.metrics import METRICS
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialResult
from tests.search.suggest.harness import ALL, Harness
from tests.tracking.examples import plan


def test_a_new_driver_goes_on_where_the_old_one_died(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL, trials=6, durable=True)
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
    harness = Harness(spec, inventory, Budget(68_000, 1), ALL, trials=6, start_with=(configuration,), durable=True)

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


def test_trials_whose_study_was_lost_end_all_the_same(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 68), ALL, trials=3, durable=True)
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


@pytest.mark.parametrize(
    ("result", "state", "values"),
    [
        (TrialResult(state="finished", quality=0.5, steps=9), TrialState.COMPLETE, [0.5, 1000]),
        (TrialResult(state="finished", quality=math.inf, steps=9), TrialState.FAIL, None),
        (TrialResult(state="finished", quality=None, steps=9), TrialState.FAIL, None),
        (TrialResult(state="failed", quality=0.5, reason="nan"), TrialState.FAIL, None),
        (TrialResult(state="stopped", quality=0.5, steps=3), TrialState.PRUNED, None),
    ],
)
def test_only_a_finished_trial_with_a_number_is_complete_and_stays_so(
    result: TrialResult, state: TrialState, values: list[float] | None
) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    number = study.ask().number
    for ended in (result, TrialResult(state="finished", quality=0.9, steps=9)):
        tell(study, number, plan("0000"), ended, METRICS["accuracy"])
        assert (study.trials[number].state, study.trials[number].values) == (state, values)


def test_a_failed_trial_that_is_to_be_tried_again_is_opened_as_a_copy(spec: SearchSpec, inventory: Inventory) -> None:
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL, trials=2, durable=True)
    first, second = harness.ask("a"), harness.ask("b")
    assert first is not None
    assert second is not None
    failed = TrialResult(state="failed", reason="away")
    harness.ledger.trial(first.trial).write_result(failed)
    harness.searcher.on_trial_complete("a")
    number = numbers_by_trial(harness.study)[first.trial]
    assert harness.study.trials[number].state is TrialState.FAIL
    harness.ledger.trial(first.trial).begin_anew()
    reconcile(harness.study, harness.ledger, spec)
    copy = harness.study.trials[numbers_by_trial(harness.study)[first.trial]]
    assert copy.number != number
    assert (copy.state, copy.user_attrs[AGAIN]) == (TrialState.RUNNING, number)
    assert copy.params == harness.study.trials[number].params
    assert harness.frozen(second).state is TrialState.RUNNING
    before = len(harness.study.trials)
    reconcile(harness.study, harness.ledger, spec)
    assert len(harness.study.trials) == before
