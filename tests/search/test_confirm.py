"""Which points are confirmed, with which seeds, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.confirm import choose_points, confirmation_plans, summarise
from search.recorder import Ended
from spaces.ledger import Ledger
from spaces.records import TrialPlan, TrialResult


def ended(trial: int, size: int, quality: float, method: str = "sparta") -> Ended:
    plan = TrialPlan(
        trial=f"{trial:04d}",
        kind="trial",
        method=method,
        config={"density": 0.1, "seed": 0} if method == "sparta" else {"rank": 1},
        seed=0,
        trainable_parameters=size,
        stored_parameters=size,
        adapter_bytes=4 * size,
        head_parameters=2,
        peak_updated_parameters=size,
    )
    return Ended(plan, TrialResult(state="finished", quality=quality, steps=1))


@given(st.sets(st.integers(1, 10**6), min_size=1, max_size=12), st.integers(0, 15))
def test_the_best_is_always_among_them(sizes: set[int], top: int) -> None:
    front = [ended(i, size, i / 100) for i, size in enumerate(sorted(sizes))]
    chosen = choose_points(front, top)
    assert len(chosen) == min(top, len(front))
    assert len({one.plan.trial for one in chosen}) == len(chosen)
    if top:
        assert chosen[-1] == front[-1]
    if top >= 2 and len(front) >= 2:
        assert chosen[0] == front[0]


def test_the_others_are_evenly_spaced_in_log_parameters() -> None:
    front = [ended(i, size, i / 100) for i, size in enumerate((10, 12, 14, 100, 900, 1000))]
    assert [one.plan.trainable_parameters for one in choose_points(front, 3)] == [10, 100, 1000]


def test_everything_random_follows_the_fresh_seed() -> None:
    plans = confirmation_plans([ended(3, 10, 0.5), ended(4, 20, 0.6, "lora")], seeds=2, search_seed=5)
    assert [(plan.trial, plan.seed, plan.confirms) for plan in plans] == [
        ("0003-confirm-1", 6, "0003"),
        ("0003-confirm-2", 7, "0003"),
        ("0004-confirm-1", 6, "0004"),
        ("0004-confirm-2", 7, "0004"),
    ]
    assert [plan.config.get("seed") for plan in plans] == [6, 7, None, None]


def test_mean_and_spread_are_of_validation_and_test_is_reported_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    plans = confirmation_plans([ended(0, 10, 0.9)], seeds=3, search_seed=0)
    for plan, quality, test in zip(plans, (0.5, 0.7, None), (0.1, 0.3, None), strict=True):
        ledger.trial(plan.trial).write_plan(plan)
        state = "finished" if quality is not None else "failed"
        ledger.trial(plan.trial).write_result(TrialResult(state=state, quality=quality, test_quality=test))
    (confirmed,) = summarise(ledger)
    assert confirmed.trial == "0000"
    assert confirmed.mean == pytest.approx(0.6)
    assert confirmed.deviation == pytest.approx(0.1414, abs=1e-4)
    assert confirmed.test == pytest.approx(0.2)
