"""The durable record: whole files or none, the first result wins, torn lines are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.trials.ledger import Ledger, Superseded
from spaces.trials.records import Rung, TrialPlan, TrialResult


def plan(trial: str = "0000") -> TrialPlan:
    return TrialPlan(
        trial=trial,
        kind="trial",
        method="lora",
        config={"rank": 1},
        seed=0,
        trainable_parameters=10,
        stored_parameters=10,
        adapter_bytes=40,
        head_parameters=2,
        peak_updated_parameters=10,
    )


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for name in ("0001", "0000"):
        ledger.trial(name).write_plan(plan(name))
    assert [folder.plan().trial for folder in ledger.trials()] == ["0000", "0001"]
    assert ledger.trials("confirmation") == []
    assert ledger.trial("0000").result() is None


def test_the_first_result_wins_and_ends_the_checkpoint(tmp_path: Path) -> None:
    folder = Ledger(tmp_path).trial("0000")
    folder.write_plan(plan())
    folder.checkpoint.write_bytes(b"state")
    finished = TrialResult(state="finished", quality=0.5, steps=3)
    assert folder.write_result(finished) == finished
    assert folder.write_result(TrialResult(state="failed", reason="late")) == finished
    assert not folder.checkpoint.exists()


@pytest.mark.parametrize("torn", [b'{"step": 9, "qual', b'{"step": 9, "quality": {}', b"\xc3", b"\0\0\0"])
def test_a_torn_line_hides_no_rung(tmp_path: Path, torn: bytes) -> None:
    folder = Ledger(tmp_path).trial("0000")
    folder.write_plan(plan())
    folder.add_rung(Rung(step=5, quality=0.1))
    folder.add_rung(Rung(step=5, quality=0.2))
    with (folder.path / "rungs.jsonl").open("ab") as file:
        file.write(torn)
    assert folder.rungs() == (Rung(step=5, quality=0.2),)
    folder.add_rung(Rung(step=9, quality=0.3))
    folder.add_rung(Rung(step=12, quality=0.4))
    assert [rung.step for rung in folder.rungs()] == [5, 9, 12]


def test_a_rung_that_lacks_its_line_end_alone_is_kept(tmp_path: Path) -> None:
    folder = Ledger(tmp_path).trial("0000")
    folder.write_plan(plan())
    (folder.path / "rungs.jsonl").write_text('{"step": 5, "quality": 0.2}')
    folder.add_rung(Rung(step=9, quality=0.3))
    assert [rung.step for rung in folder.rungs()] == [5, 9]


def test_nothing_is_written_for_a_driver_whose_search_was_taken_up(tmp_path: Path) -> None:
    first = Ledger(tmp_path).taken_over()
    orphan = first.trial("0000")
    orphan.write_plan(plan())
    orphan.add_rung(Rung(step=3, quality=0.5))
    second = Ledger(tmp_path).taken_over()
    with pytest.raises(Superseded):
        orphan.add_rung(Rung(step=9, quality=0.6))
    with pytest.raises(Superseded):
        orphan.write_result(TrialResult(state="failed", reason="its head is gone"))
    with pytest.raises(Superseded):
        first.trial("0001").write_plan(plan("0001"))
    [folder] = second.trials()
    assert (folder.rungs(), folder.result()) == ((Rung(step=3, quality=0.5),), None)
    finished = TrialResult(state="finished", quality=0.7, steps=9)
    folder.write_result(finished)
    assert orphan.write_result(TrialResult(state="failed", reason="late")) == finished
