"""The study of precisions goes on where it stopped, and says what is harmless."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.precision import METHODS, PRECISIONS, RECORD, STUDIED, comparisons, runs, table
from tests.bench.trainings import Line, Run, finished


def line(test: float, seconds: float) -> Line:
    return {"test": test, "seconds": seconds}


def test_a_loss_beyond_the_spread_of_seeds_is_harm() -> None:
    qualities = {"float32": (0.80, 0.84), "bf16": (0.79, 0.83), "bf16-mixed": (0.70, 0.84)}
    lines = {
        Run("cr", "lora", "{}", seed, tested=True, precision=precision): line(one, 10 if precision == "float32" else 5)
        for precision, both in qualities.items()
        for seed, one in enumerate(both)
    }
    found = comparisons(lines)
    assert found["cr", "lora", "bf16"].difference == pytest.approx(-0.01)
    assert found["cr", "lora", "bf16"].spread == pytest.approx(0.0283, abs=1e-4)
    assert found["cr", "lora", "bf16"].speed == 2
    assert found["cr", "lora", "bf16"].harmless
    assert not found["cr", "lora", "bf16-mixed"].harmless
    assert "| cr | lora | bf16-mixed | -0.050 | 0.028 | 2.00 | 2 | no |" in table(found)
    del lines[Run("cr", "lora", "{}", 1, tested=True, precision="bf16")]
    assert ("cr", "lora", "bf16") not in comparisons(lines)  # one seed has no spread


def test_it_has_ten_methods_on_three_tasks_in_every_precision() -> None:
    wanted = runs(METHODS, 3)
    assert len(METHODS) == 10
    assert len(set(wanted)) == len(METHODS) * len(STUDIED) * len(PRECISIONS) * 3


def test_trainings_are_found_again(tmp_path: Path) -> None:
    (run,) = runs(["lora"], 1)[1:2]
    file = tmp_path / "runs.jsonl"
    older = {"task": "sst2", "method": "lora", "config": "{}", "seed": 0, "tested": False}
    newer = {**older, "task": run.task, "config": run.config, "seed": 1, "tested": True, "precision": run.precision}
    file.write_text("\n".join(map(json.dumps, (older, newer))))
    assert set(finished(file)) == {Run("sst2", "lora", "{}", 0, tested=False), run}
    assert {one.task for one in finished(RECORD)} <= set(STUDIED)
