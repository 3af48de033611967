"""When failures say something of the trainings to come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.driver.outlook import Outlook, hopeless
from search.suggest.plan_queue import WORKER_DIED
from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec, parse_spec
from spaces.trials.ledger import Ledger
from spaces.trials.records import Kind, Rung, State, TrialPlan, TrialResult

BUDGET = Budget(parameters=10_000, at_least=100, count_head=False, bytes=None)
INDEX = "IndexError: index 66 is out of bounds for dimension 0 with size 64"


def spec(methods: tuple[str, ...] = ("lora", "sparta"), trials: int = 40) -> SearchSpec:
    values: dict[str, Any] = {"name": "a", "model": {"path": "m"}, "data": {"train": "t"}, "budget": {"parameters": 9}}
    return parse_spec({**values, "methods": list(methods), "search": {"trials": trials}})


def plan(trial: str, method: str = "lora", size: int = 200, kind: Kind = "trial") -> TrialPlan:
    return TrialPlan(
        trial=trial,
        kind=kind,
        method=method,
        config={},
        seed=0,
        trainable_parameters=size,
        stored_parameters=size,
        adapter_bytes=0,
        head_parameters=0,
        peak_updated_parameters=0,
    )


def result(state: State, reason: str | None = None, steps: int = 0) -> TrialResult:
    return TrialResult(state=state, reason=reason, steps=steps)


def told(outlook: Outlook, *reasons: str | None, sizes: int = 200, reached: int = 0) -> str | None:
    """Trials of both methods in turns end, with a reason or finished."""
    for number, reason in enumerate(reasons):
        state: State = "finished" if reason is None else "failed"
        outlook.ended(plan(f"{number:04d}", ("lora", "sparta")[number % 2], sizes), result(state, reason))
    return outlook.verdict(reached)


def test_three_that_fail_alike_are_enough() -> None:
    assert told(Outlook(spec(), BUDGET), INDEX, INDEX) is None
    assert told(Outlook(spec(), BUDGET), INDEX, INDEX, INDEX) == f"its first 3 trials all failed alike: {INDEX}"


@pytest.mark.parametrize(
    "reasons",
    [
        ["IndexError: index 66 is out of bounds", "IndexError: index 9,071 is out of bounds"],
        ["the loss became nan at step 1; a lower …", "the loss became inf at step 300; a lower …"],
        ["RuntimeError: object at 0x7f3c00ab", "RuntimeError: object at 0x7FFF12CD"],
        ["OSError: /runs/trials/0000/.adapter", "OSError: /runs/trials/0012/.adapter"],
        ["KeyError: run 3f2a9b1c77de4f60", "KeyError: run 77de4f603f2a9b1c"],
        ["ValueError: mat1 and mat2 (8x32 and 64x2)", "ValueError: mat1 and mat2 (16x32 and 48x2)"],
        ["TypeError: lora has no such thing", "TypeError: sparta has no such thing"],
    ],
)
def test_numbers_addresses_ids_and_the_method_do_not_make_reasons_differ(reasons: list[str]) -> None:
    assert told(Outlook(spec(), BUDGET), *reasons, reasons[0]) is not None


@pytest.mark.parametrize(
    "reasons",
    [
        (INDEX, "KeyError: 'labels'", INDEX),
        (INDEX, None, INDEX, INDEX, INDEX),
        (None, INDEX, INDEX, INDEX),
    ],
)
def test_others_leave_hope(reasons: tuple[str | None, ...]) -> None:
    assert told(Outlook(spec(), BUDGET), *reasons) is None


def test_a_stopped_trial_succeeded_so_far() -> None:
    outlook = Outlook(spec(), BUDGET)
    outlook.ended(plan("0009"), result("stopped", "behind"))
    assert told(outlook, INDEX, INDEX, INDEX) is None


def test_a_method_that_fails_alone_leaves_hope_for_the_others() -> None:
    several, one = Outlook(spec(), BUDGET), Outlook(spec(("lora",)), BUDGET)
    for outlook in (several, one):
        for number in range(3):
            outlook.ended(plan(f"{number:04d}"), result("failed", INDEX))
    assert several.verdict(0) is None
    assert one.verdict(0) is not None


@pytest.mark.parametrize("reason", [WORKER_DIED, "out of memory at step 3 with a single example at once"])
def test_memory_that_large_trials_lack_leaves_hope_for_small_ones(reason: str) -> None:
    assert told(Outlook(spec(), BUDGET), *[reason] * 5, sizes=5_000) is None
    assert told(Outlook(spec(), BUDGET), *[reason] * 3, sizes=500) is not None
    assert told(Outlook(spec(), BUDGET), *[INDEX] * 3, sizes=5_000) is not None


def test_a_training_that_came_further_than_any_that_failed_leaves_hope() -> None:
    assert told(Outlook(spec(), BUDGET), *[INDEX] * 3, reached=1) is None


@pytest.mark.parametrize(("trials", "failures"), [(1, 1), (2, 2), (3, 3)])
def test_a_short_search_needs_all_of_its_trials(trials: int, failures: int) -> None:
    assert told(Outlook(spec(trials=trials), BUDGET), *[INDEX] * (failures - 1)) is None
    assert told(Outlook(spec(trials=trials), BUDGET), *[INDEX] * failures) is not None


def test_a_reference_that_failed_leaves_none() -> None:
    outlook = Outlook(spec(), BUDGET)
    assert told(outlook, None, None) is None
    outlook.ended(plan("reference", "head", kind="reference"), result("failed", INDEX))
    assert outlook.verdict(100) == f"its reference, the task head alone, failed: {INDEX}"


def test_what_a_resume_tries_again_follows_from_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for number in range(3):
        folder = ledger.trial(f"{number:04d}")
        folder.write_plan(plan(folder.path.name, ("lora", "sparta")[number % 2]))
        folder.add_rung(Rung(step=3, quality=0.5))
        folder.error.write_text("Traceback")
        assert hopeless(ledger, spec(), BUDGET) == []
        folder.write_result(result("failed", INDEX, steps=3))
    again = hopeless(ledger, spec(), BUDGET)
    assert [one.path.name for one in again] == ["0000", "0001", "0002"]
    for folder in again:
        folder.begin_anew()
        assert (folder.result(), folder.rungs(), folder.error.exists()) == (None, (), False)
    assert hopeless(ledger, spec(), BUDGET) == []

    last = ledger.trial("0003")  # of another, that still runs and came further
    last.write_plan(plan("0003"))
    for folder in again:
        folder.write_result(result("failed", INDEX, steps=3))
    assert hopeless(ledger, spec(), BUDGET) != []
    last.add_rung(Rung(step=9, quality=0.5))
    assert hopeless(ledger, spec(), BUDGET) == []
