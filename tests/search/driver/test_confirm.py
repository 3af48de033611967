"""Which points are confirmed, with which seeds, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.driver.confirm import choose_points, confirmation_plan, planned_round, summarise
from search.driver.recorder import CompletedTrial
from spaces.pareto.front import front, knee
from spaces.spec.spec import parse_spec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan, TrialResult
from spaces.trials.row_values import pack


def ended(trial: int, size: int, quality: float, method: str = "sparta") -> CompletedTrial:
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
    return CompletedTrial(plan, TrialResult(state="finished", quality=quality, steps=1))


@given(st.sets(st.integers(1, 10**6), min_size=1, max_size=12), st.integers(0, 15), st.integers(-1, 12))
def test_best_and_knee_are_among_them_and_nothing_that_does_not_beat_the_head(
    sizes: set[int], top: int, head: int
) -> None:
    points = [ended(i, size, (i + 1) ** 0.5) for i, size in enumerate(sorted(sizes))]
    able = [one for one in points if one.quality > head / 4]
    chosen = choose_points(points, top, reference=head / 4, mode="max")
    assert len(chosen) == min(top, len(able))
    assert len({one.plan.trial for one in chosen}) == len(chosen)
    assert all(one in able for one in chosen)
    if chosen:
        assert chosen[-1] == able[-1]
    if len(chosen) > 1:
        assert knee(able, lambda one: one.quality, lambda one: one.plan.trainable_parameters, "max") in chosen


def test_the_others_are_evenly_spaced_in_log_parameters() -> None:
    sizes = (10, 12, 40, 100, 130, 900, 1000)
    points = [
        ended(i, size, quality) for i, (size, quality) in enumerate(zip(sizes, (1, 2, 3, 4, 50, 60, 61), strict=True))
    ]

    def chosen(top: int, reference: float = 0.0) -> list[int]:
        return [one.plan.trainable_parameters for one in choose_points(points, top, reference=reference, mode="max")]

    assert [chosen(top) for top in (1, 2, 3, 4)] == [[1000], [130, 1000], [10, 130, 1000], [10, 40, 130, 1000]]
    assert chosen(3, reference=2) == [40, 130, 1000]
    assert chosen(3, reference=61) == []


def test_without_a_head_that_is_known_nothing_is_confirmed(tmp_path: Path) -> None:
    assert run(tmp_path, FRONT, lambda trial, seed: 0.5, 3, 4, reference=None) == []
    assert run(tmp_path, FRONT, lambda trial, seed: 0.5, 3, 4, reference=0.99) == []


def test_what_is_near_the_front_beats_the_head_as_well(tmp_path: Path) -> None:
    points = [ended(0, 100, 0.501), ended(1, 1_000, 0.7)]
    rounds = run(tmp_path, [*points, ended(2, 110, 0.499)], lambda trial, seed: 0.5, top=2, seeds=4, reference=0.5)
    assert {trial for one in rounds for trial in one} == {"0000", "0001"}


def test_everything_random_follows_the_fresh_seed() -> None:
    plans = [confirmation_plan(one.plan, 2, 7) for one in (ended(3, 10, 0.5), ended(4, 20, 0.6, "lora"))]
    assert [(plan.trial, plan.seed, plan.confirms, plan.kind) for plan in plans] == [
        ("0003-confirm-2", 7, "0003", "confirmation"),
        ("0004-confirm-2", 7, "0004", "confirmation"),
    ]
    assert [plan.config.get("seed") for plan in plans] == [7, None]


def run(
    tmp_path: Path,
    trials: Sequence[CompletedTrial],
    qualities: Callable[[str, int], float],
    top: int,
    seeds: int,
    reference: float | None = 0.1,
) -> list[list[str]]:
    """Confirm as a search would, with made-up qualities; gives the trials of each round."""
    spec = parse_spec(
        {
            "name": "mine",
            "model": {"path": "m"},
            "data": {"train": "t.csv"},
            "budget": {"parameters": 10_000},
            "confirm": {"top": top, "seeds": seeds},
        }
    )
    ledger = Ledger(tmp_path)
    by_trial = {one.plan.trial: one for one in trials}
    of = front(trials, lambda one: one.quality, lambda one: one.plan.trainable_parameters, "max")
    rounds = []
    while plans := planned_round(by_trial, of, ledger, spec, validation_rows=1_000, reference=reference):
        for plan in plans:
            assert plan.confirms is not None
            ledger.trial(plan.trial).write_plan(plan)
            result = TrialResult(state="finished", quality=qualities(plan.confirms, plan.seed))
            ledger.trial(plan.trial).write_result(result)
        rounds.append([str(plan.confirms) for plan in plans])
    return rounds


FRONT = [ended(0, 100, 0.60), ended(1, 1_000, 0.70), ended(2, 9_000, 0.80)]


def test_one_seed_is_the_front_alone(tmp_path: Path) -> None:
    near = ended(3, 9_500, 0.799)
    assert run(tmp_path, [*FRONT, near], lambda trial, seed: 0.5, top=3, seeds=1) == [["0000", "0001", "0002"]]


def test_it_ends_once_the_order_is_settled(tmp_path: Path) -> None:
    means = {"0000": 0.6, "0001": 0.7, "0002": 0.8}
    rounds = run(tmp_path, FRONT, lambda trial, seed: means[trial] + 0.001 * (seed % 3), top=3, seeds=6)
    assert rounds == [["0000", "0001", "0002"]] * 2


def test_what_is_not_told_apart_gets_the_seeds_until_they_are_spent(tmp_path: Path) -> None:
    noise = {1: 0.0, 2: 0.01, 3: -0.01, 4: 0.02, 5: -0.02, 6: 0.0, 7: 0.01}
    means = {"0000": 0.5, "0001": 0.7, "0002": 0.7}
    rounds = run(tmp_path, FRONT, lambda trial, seed: means[trial] + noise.get(seed, 0.0), top=3, seeds=4)
    trained = [trial for one in rounds for trial in one]
    assert len(trained) == 12
    assert trained.count("0000") < trained.count("0001")


def test_a_trial_near_the_front_may_take_the_place_of_a_lucky_one(tmp_path: Path) -> None:
    near, far = ended(3, 9_500, 0.799), ended(4, 9_600, 0.70)
    means = {"0000": 0.6, "0001": 0.7, "0002": 0.75, "0003": 0.80}
    rounds = run(tmp_path, [*FRONT, near, far], lambda trial, seed: means[trial] + 0.001 * (seed % 2), 3, 4)
    trained = {trial for one in rounds for trial in one}
    assert trained == {"0000", "0001", "0002", "0003"}
    assert max(summarise(Ledger(tmp_path)), key=lambda one: one.mean).trial == "0003"


def test_near_is_not_a_point_of_the_front_that_was_left_out(tmp_path: Path) -> None:
    points = [ended(i, 100 * 2**i, 0.50 + 0.03 * i) for i in range(8)]
    near = [ended(20, 12_900, 0.709), ended(21, 801, 0.588)]
    rounds = run(tmp_path, [*points, *near], lambda trial, seed: 0.5 + 0.01 * (seed % 2), top=4, seeds=4)
    trained = {trial for one in rounds for trial in one}
    assert {"0020", "0021"} <= trained
    assert len(trained) == 6


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_every_candidate_has_a_spread_where_there_is_more_than_one_seed(tmp_path: Path, seeds: int) -> None:
    near = [ended(10 + i, size, quality) for i, (size, quality) in enumerate([(101, 0.6), (1_001, 0.7), (9_001, 0.8)])]
    rounds = run(tmp_path, [*FRONT, *near], lambda trial, seed: 0.5 + 0.01 * (seed % 2), top=3, seeds=seeds)
    trained = [trial for one in rounds for trial in one]
    assert min(trained.count(one) for one in trained) >= min(seeds, 2)
    assert (len(set(trained)) > len(FRONT)) == (seeds > 2)


def test_near_is_by_the_rows_that_both_were_validated_on(tmp_path: Path) -> None:
    """Where the worse one is wrong on a few rows more, and right on none of those, it is not as good by luck."""
    best = valued(ended(1, 1_000, 0.8), np.arange(1_000) < 800)
    behind = valued(ended(2, 1_001, 0.785), np.arange(1_000) < 785)
    other = valued(ended(3, 1_002, 0.785), np.roll(np.arange(1_000) < 785, 200))
    trained = run(tmp_path, [ended(0, 100, 0.6), best, behind, other], lambda trial, seed: 0.5, top=2, seeds=4)
    assert "0003" in {trial for one in trained for trial in one}
    assert "0002" not in {trial for one in trained for trial in one}


def valued(one: CompletedTrial, outcomes: npt.NDArray[np.bool_]) -> CompletedTrial:
    return CompletedTrial(one.plan, one.result.model_copy(update={"row_values": pack(outcomes)}))


def test_mean_and_spread_are_of_validation_and_test_is_reported_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    plans = [confirmation_plan(ended(0, 10, 0.9).plan, number, number) for number in (1, 2, 3)]
    for plan, quality, test in zip(plans, (0.5, 0.7, None), (0.1, 0.3, None), strict=True):
        ledger.trial(plan.trial).write_plan(plan)
        state = "finished" if quality is not None else "failed"
        ledger.trial(plan.trial).write_result(TrialResult(state=state, quality=quality, test_quality=test))
    (confirmed,) = summarise(ledger)
    assert confirmed.trial == "0000"
    assert confirmed.mean == pytest.approx(0.6)
    assert confirmed.deviation == pytest.approx(0.1414, abs=1e-4)
    assert confirmed.test == pytest.approx(0.2)
    assert confirmed.seeds == 2
