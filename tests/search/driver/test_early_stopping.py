"""The stoppers as Tune calls them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from search.driver.early_stopping import FrontStopper, make_stopper
from spaces.pareto.stopping_rule import KNOWN, FrontRule
from spaces.spec.spec import load_spec
from spaces.trials.ledger import Ledger
from spaces.trials.records import Rung, TrialPlan, TrialResult
from tests.conftest import Workplace


def plan(trial: str, parameters: int, kind: str = "trial") -> TrialPlan:
    counts = dict.fromkeys(
        ("trainable_parameters", "stored_parameters", "adapter_bytes", "head_parameters", "peak_updated_parameters"),
        parameters,
    )
    return TrialPlan.model_validate({"trial": trial, "kind": kind, "method": "lora", "config": {}, "seed": 0, **counts})


def judged(stopper: Any, of: TrialPlan, steps: int, quality: float | None) -> str:
    trial = SimpleNamespace(config={"plan": of.model_dump(mode="json")})
    result = {"steps": steps, **({} if quality is None else {"compared": quality})}
    return str(stopper.on_trial_result(None, trial, result))


@pytest.fixture
def ledger(workplace: Workplace) -> Ledger:
    return Ledger(workplace.home)


def finish_some(ledger: Ledger) -> None:
    """As many trials as must have finished before one is stopped; of their rungs nothing is known."""
    for number in range(KNOWN):
        folder = ledger.trial(f"9{number}")
        folder.write_plan(plan(f"9{number}", 1_000_000))
        folder.write_result(TrialResult(state="finished", quality=0.5, steps=27))


def stopper_of(workplace: Workplace, ledger: Ledger, name: str) -> Any:
    spec = load_spec(workplace.spec(training={"max_steps": 27}, search={"rungs": 3, "stopper": name}))
    return make_stopper(spec, ledger, validation_rows=1_000)


def test_the_front_stopper_compares_at_equal_steps(workplace: Workplace, ledger: Ledger) -> None:
    finish_some(ledger)
    stopper = stopper_of(workplace, ledger, "front")
    assert judged(stopper, plan("a", 100), 3, 0.80) == "CONTINUE"
    assert judged(stopper, plan("b", 120), 3, 0.60) == "STOP"
    assert judged(stopper, plan("c", 90), 3, 0.60) == "CONTINUE"  # nothing so small was better
    assert judged(stopper, plan("d", 120), 9, 0.60) == "CONTINUE"  # the first at its rung
    assert judged(stopper, plan("e", 120), 27, 0.10) == "CONTINUE"  # at its end
    assert judged(stopper, plan("r", 0, kind="reference"), 3, 0.10) == "CONTINUE"
    assert judged(stopper, plan("f", 120), 3, None) == "CONTINUE"  # its end is told otherwise


@given(st.lists(st.one_of(st.none(), st.integers(0, 5))))
def test_the_first_that_waits_runs_next_as_with_rays_own(events: list[int | None]) -> None:
    """Events: a trial is added, or one that waits begins, or one that runs ends."""
    stopper, trials = FrontStopper(FrontRule("max", lambda score: 0.01), 27), list[SimpleNamespace]()
    controller: Any = SimpleNamespace(get_trials=lambda: trials)
    after = {Trial.PENDING: Trial.RUNNING, Trial.RUNNING: Trial.TERMINATED, Trial.TERMINATED: Trial.TERMINATED}
    for event in events:
        if event is None:
            trials.append(SimpleNamespace(status=Trial.PENDING))
            stopper.on_trial_add(controller, trials[-1])
        elif event < len(trials):
            trials[event].status = after[trials[event].status]
        assert stopper.choose_trial_to_run(controller) is FIFOScheduler().choose_trial_to_run(controller)


def test_it_knows_the_rungs_of_an_earlier_driver(workplace: Workplace, ledger: Ledger) -> None:
    finish_some(ledger)
    folder = ledger.trial("0000")
    folder.write_plan(plan("0000", 100))
    folder.add_rung(Rung(step=3, quality=0.9))
    assert judged(stopper_of(workplace, ledger, "front"), plan("0001", 110), 3, 0.5) == "STOP"


def test_trials_are_compared_by_their_best_evaluation_so_far(workplace: Workplace, ledger: Ledger) -> None:
    finish_some(ledger)
    folder = ledger.trial("0000")
    folder.write_plan(plan("0000", 100))
    folder.add_rung(Rung(step=3, quality=0.4, best=0.9))
    assert judged(stopper_of(workplace, ledger, "front"), plan("0001", 110), 3, 0.5) == "STOP"


def test_a_trial_that_ended_early_is_compared_at_the_rung_where_it_ended(workplace: Workplace, ledger: Ledger) -> None:
    finish_some(ledger)
    stopper, early = stopper_of(workplace, ledger, "front"), plan("early", 100)
    trial = SimpleNamespace(config={"plan": early.model_dump(mode="json")})
    stopper.on_trial_complete(None, trial, {"state": "finished", "quality": 0.9, "steps": 9})
    assert judged(stopper, plan("late", 200), 9, 0.5) == "STOP"
    assert judged(stopper, plan("other", 200), 3, 0.5) == "CONTINUE"


def test_it_learns_from_trials_that_finish(workplace: Workplace, ledger: Ledger) -> None:
    stopper = stopper_of(workplace, ledger, "front")
    for number in range(KNOWN):
        one = plan(str(number), 100 + number)
        assert judged(stopper, one, 3, 0.9 - number / 10) == "CONTINUE"
        trial = SimpleNamespace(config={"plan": one.model_dump(mode="json")})
        stopper.on_trial_complete(None, trial, {"state": "finished", "quality": 0.9 - number / 10, "steps": 27})
    assert judged(stopper, plan("late", 200), 3, 0.1) == "STOP"


def test_losses_at_rungs_are_compared_with_losses_and_qualities_at_the_end_with_qualities(
    workplace: Workplace, ledger: Ledger
) -> None:
    for number in range(KNOWN):
        folder = ledger.trial(f"9{number}")
        folder.write_plan(plan(f"9{number}", 100 + number))
        folder.add_rung(Rung(step=3, loss=1.0 + number / 10))
        folder.write_result(TrialResult(state="finished", quality=0.9 - number / 10, steps=27))
    training, search = {"max_steps": 27}, {"rungs": 3, "stopper": "front"}
    spec = load_spec(workplace.spec(training=training, search=search, objective={"at_rungs": "loss"}))
    stopper = make_stopper(spec, ledger, validation_rows=1_000)
    assert judged(stopper, plan("worse", 200), 3, 2.0) == "STOP"
    assert judged(stopper, plan("better", 200), 3, 0.9) == "CONTINUE"


def test_a_trial_that_failed_keeps_no_other_from_surviving(workplace: Workplace, ledger: Ledger) -> None:
    finish_some(ledger)
    stopper = stopper_of(workplace, ledger, "front")
    best, second = plan("a", 100), plan("b", 120)
    for died in (True, False):
        assert judged(stopper, best, 3, 0.90) == "CONTINUE"
        assert judged(stopper, second, 3, 0.60) == "STOP"
        trial = SimpleNamespace(config={"plan": best.model_dump(mode="json")})
        if died:
            stopper.on_trial_error(None, trial)
        else:
            stopper.on_trial_complete(None, trial, {"state": "failed"})
        assert judged(stopper, second, 3, 0.60) == "CONTINUE"
    for state, expected in (("failed", "CONTINUE"), ("stopped", "STOP")):
        folder = ledger.trial("0000")
        folder.write_plan(best)
        folder.add_rung(Rung(step=3, quality=0.9))
        folder.write_result(TrialResult.model_validate({"state": state, "rungs": folder.rungs()}))
        assert judged(stopper_of(workplace, ledger, "front"), second, 3, 0.5) == expected
        (folder.path / "result.json").unlink()


def test_stoppers_by_name(workplace: Workplace, ledger: Ledger) -> None:
    kinds = {name: type(stopper_of(workplace, ledger, name)) for name in ("none", "asha", "front")}
    assert kinds == {"none": FIFOScheduler, "asha": AsyncHyperBandScheduler, "front": FrontStopper}
