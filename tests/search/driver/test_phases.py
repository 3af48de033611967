"""The parts of both phases that need no Ray: the reference's plan, giving up, and what is left to confirm."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.driver.interruption import Interruption
from search.driver.phases import REFERENCE, _give_up_when_hopeless, _unconfirmed, reference_plan
from search.driver.recorder import CompletedTrial
from spaces.model.budget import Budget
from spaces.trials.ledger import Ledger
from spaces.trials.records import Rung, TrialPlan, TrialResult
from tests.tracking.examples import finished, make_spec, plan

BUDGET = Budget(50_000, 1)
FAILED = TrialResult(state="failed", reason="IndexError: index 66 is out of bounds")


def run_in(folder: Path, **search: Any) -> Any:
    """What a run has of itself without Ray and MLflow."""
    spec = make_spec(folder)
    spec = spec.model_copy(update={"search": spec.search.model_copy(update=search), "methods": {"lora": {}}})
    prepared = SimpleNamespace(spec=spec, budget=BUDGET, validation=range(100))
    return SimpleNamespace(
        spec=spec,
        prepared=prepared,
        ledger=Ledger(spec.home),
        interruption=Interruption(),
        recorder=SimpleNamespace(ended={}, front=[], reference=0.5),
    )


def ended(run: Any, one: TrialPlan, result: TrialResult) -> None:
    run.ledger.trial(one.trial).write_plan(one)
    run.ledger.trial(one.trial).write_result(result)
    run.recorder.ended[one.trial] = CompletedTrial(one, result)


@pytest.mark.parametrize(("count_head", "counted"), [(False, 0), (True, 770)])
def test_the_reference_is_the_head_alone(tmp_path: Path, count_head: bool, counted: int) -> None:
    run = run_in(tmp_path, seed=5)
    run.prepared.budget = Budget(50_000, 1, count_head=count_head)
    run.prepared.inventory = SimpleNamespace(head_parameters=770)
    reference = reference_plan(run.prepared)
    assert (reference.trial, reference.kind, reference.method, reference.seed) == (REFERENCE, "reference", "head", 5)
    assert reference.config == {"learning_rate": run.spec.training.head_learning_rate}
    assert (reference.trainable_parameters, reference.head_parameters) == (counted, 770)


def test_three_trials_that_fail_alike_end_the_search(tmp_path: Path) -> None:
    run = run_in(tmp_path, trials=40)
    goes_on = _give_up_when_hopeless(run)
    assert goes_on(plan("0000"), FAILED, [])
    assert goes_on(plan("0001"), FAILED, [])
    assert run.interruption.reason is None
    assert not goes_on(plan("0002"), FAILED, [])
    assert run.interruption.reason == f"its first 3 trials all failed alike: {FAILED.reason}"


def test_failures_under_an_earlier_driver_count(tmp_path: Path) -> None:
    run = run_in(tmp_path, trials=40)
    for trial in ("0000", "0001"):
        ended(run, plan(trial), FAILED)
    assert not _give_up_when_hopeless(run)(plan("0002"), FAILED, [])
    run = run_in(tmp_path, trials=40)
    ended(run, plan("0003"), finished(0.5))
    assert _give_up_when_hopeless(run)(plan("0002"), FAILED, [])


def test_a_running_training_that_came_further_keeps_the_search_alive(tmp_path: Path) -> None:
    run = run_in(tmp_path, trials=1)
    running = plan("0001")
    run.ledger.trial(running.trial).write_plan(running)
    goes_on = _give_up_when_hopeless(run)
    run.ledger.trial(running.trial).add_rung(Rung(step=3, quality=0.5))
    assert goes_on(plan("0000"), FAILED, [running])
    assert not goes_on(plan("0000"), FAILED, [])


def test_confirmations_without_a_result_come_before_the_next_round(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.spec = run.spec.model_copy(update={"confirm": run.spec.confirm.model_copy(update={"top": 1, "seeds": 1})})
    assert _unconfirmed(run) == []
    ended(run, plan("0000"), finished(0.8))
    run.recorder.front = [run.recorder.ended["0000"]]
    (first,) = _unconfirmed(run)
    assert (first.trial, first.kind, first.confirms) == ("0000-confirm-1", "confirmation", "0000")
    assert run.ledger.trial(first.trial).plan() == first
    assert _unconfirmed(run) == [first]
    run.ledger.trial(first.trial).write_result(finished(0.8))
    assert _unconfirmed(run) == []
