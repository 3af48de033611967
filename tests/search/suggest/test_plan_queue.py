"""Plans that wait, run and end, as Tune's events come."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from ray.tune.search import Searcher

from search.suggest.plan_queue import WORKER_DIED, PlanList, PlanQueue
from spaces.trials.ledger import Ledger
from spaces.trials.records import Rung, TrialPlan, TrialResult
from tests.tracking.examples import plan

FIRST, SECOND = plan("0000"), plan("0001")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    found = Ledger(tmp_path)
    for one in (FIRST, SECOND):
        found.trial(one.trial).write_plan(one)
    return found


def test_plans_are_handed_out_in_turn_and_carry_all_that_a_worker_needs(ledger: Ledger) -> None:
    queue = PlanQueue(ledger, [FIRST, SECOND], retries=0)
    assert [queue.next(), queue.next(), queue.next()] == [FIRST, SECOND, None]
    config = queue.hand_out("a", FIRST)
    assert TrialPlan.model_validate(config["plan"]) == FIRST
    assert queue.out == {"a": FIRST}
    assert queue.take_back("another", None, error=True) is None
    assert queue.out == {"a": FIRST}


def test_the_end_that_a_worker_recorded_counts_whatever_tune_says(ledger: Ledger) -> None:
    queue = PlanQueue(ledger, retries=0)
    finished = TrialResult(state="finished", quality=0.5, steps=9)
    for error in (False, True):
        queue.hand_out("a", FIRST)
        assert queue.recorded() == ([("a", FIRST)] if error else [])
        ledger.trial(FIRST.trial).write_result(finished)
        assert queue.recorded() == [("a", FIRST)]
        back = queue.take_back("a", None, error)
        assert back is not None
        assert (back[0], back[1].state, back[1].quality) == (FIRST, "finished", 0.5)
        assert queue.out == {}


def test_a_trial_that_tune_ended_at_a_rung_is_stopped(ledger: Ledger) -> None:
    queue = PlanQueue(ledger, retries=0)
    queue.hand_out("a", FIRST)
    rungs = (Rung(step=1, quality=0.5), Rung(step=3, quality=0.6))
    for rung in rungs:
        ledger.trial(FIRST.trial).add_rung(rung)
    back = queue.take_back("a", {"train_seconds": 2.5, "peak_memory_bytes": 7}, error=False)
    assert back is not None
    ended = back[1]
    assert ended == ledger.trial(FIRST.trial).result()
    assert (ended.state, ended.quality, ended.steps, ended.rungs) == ("stopped", None, 3, rungs)
    assert (ended.train_seconds, ended.peak_memory_bytes) == (2.5, 7)
    assert ended.reason == "stopped at rung 3: behind the other trials there"


@pytest.mark.parametrize(
    ("traceback", "reason"),
    [
        (None, WORKER_DIED),
        ("", WORKER_DIED),
        ("Traceback\n  File x\nKeyError: 'a'\n", "KeyError: 'a'"),
        ("E" * 1000, "E" * 300),
    ],
)
def test_a_worker_that_died_without_a_result_failed_its_trial(
    ledger: Ledger, traceback: str | None, reason: str
) -> None:
    queue = PlanQueue(ledger, retries=0)
    queue.hand_out("a", FIRST)
    if traceback is not None:
        ledger.trial(FIRST.trial).error.write_text(traceback)
    back = queue.take_back("a", None, error=True)
    assert back is not None
    assert (back[1].state, back[1].reason, back[1].steps) == ("failed", reason, 0)


def test_deaths_are_counted_by_trial(ledger: Ledger) -> None:
    queue = PlanQueue(ledger, [FIRST, SECOND], retries=2)
    for one in (FIRST, SECOND):
        for _ in range(2):
            queue.hand_out("a", one)
            assert queue.take_back("a", None, error=True) is None
        queue.hand_out("a", one)
        back = queue.take_back("a", None, error=True)
        assert back is not None
        assert back[1].state == "failed"
    # Those that came back wait behind those that had not begun.
    assert [queue.next() for _ in range(7)] == [FIRST, SECOND, FIRST, FIRST, SECOND, SECOND, None]


def test_a_storage_that_is_away_is_no_fault_of_the_trial(ledger: Ledger, tmp_path: Path) -> None:
    queue = PlanQueue(Ledger(tmp_path / "away"), retries=0)
    queue.hand_out("a", FIRST)
    with pytest.raises(OSError, match="not a folder"):
        queue.take_back("a", None, error=True)


def test_a_list_of_plans_is_finished_when_none_can_come_back(ledger: Ledger, tmp_path: Path) -> None:
    searcher = PlanList([FIRST], ledger, max_failures=1)
    assert isinstance(searcher.suggest("a"), dict)
    assert searcher.suggest("b") is None
    searcher.on_trial_complete("a", error=True)
    assert isinstance(searcher.suggest("c"), dict)
    searcher.on_trial_complete("c", error=True)
    assert searcher.suggest("d") == Searcher.FINISHED
    result = ledger.trial(FIRST.trial).result()
    assert result is not None
    assert result.state == "failed"
    searcher.save(str(tmp_path / "snapshot"))
    searcher.restore(str(tmp_path / "snapshot"))
    assert searcher.suggest("e") == Searcher.FINISHED


def test_an_end_that_is_recorded_needs_no_room_on_the_disk(ledger: Ledger) -> None:
    """A limit on the size of files stands for a full disk."""
    queue = PlanQueue(ledger, retries=0)
    queue.hand_out("a", FIRST)
    queue.hand_out("b", SECOND)
    ledger.trial(FIRST.trial).write_result(TrialResult(state="finished", quality=0.5, steps=9))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        back = queue.take_back("a", None, error=True)
        with pytest.raises(OSError, match="too large"):
            queue.take_back("b", None, error=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert back is not None
    assert back[1].state == "finished"
