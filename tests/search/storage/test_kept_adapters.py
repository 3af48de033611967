"""An adapter that is gone, or was cut off, is noticed without reading its tensors."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from search.storage.kept_adapters import FILES, missing
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan
from tests.tracking.examples import plan


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Ledger, TrialPlan]:
    ledger, trial = Ledger(tmp_path), plan("0000")
    folder = ledger.trial("0000").adapter
    folder.mkdir(parents=True)
    for name in FILES:
        if name.endswith(".safetensors"):
            save_file({"a": np.ones((64, 8), np.float32)}, folder / name)
        else:
            (folder / name).write_text("{}")
    return ledger, trial


def problems(kept: tuple[Ledger, TrialPlan]) -> list[str]:
    return list(missing(kept[0], [kept[1]]))


def test_a_whole_one_is_no_problem(kept: tuple[Ledger, TrialPlan]) -> None:
    assert problems(kept) == []


def test_one_that_is_gone_is(kept: tuple[Ledger, TrialPlan]) -> None:
    folder = kept[0].trial("0000").adapter
    shutil.rmtree(folder)
    assert problems(kept) == [f"the adapter of trial 0000 is gone: there is no {folder}"]


@pytest.mark.parametrize("name", FILES)
def test_one_that_lacks_a_file_is(kept: tuple[Ledger, TrialPlan], name: str) -> None:
    file = kept[0].trial("0000").adapter / name
    file.unlink()
    assert problems(kept) == [f"the adapter of trial 0000 lacks {file}"]


@pytest.mark.parametrize("length", [0, 4, 100, 1000])
def test_one_that_was_cut_off_is(kept: tuple[Ledger, TrialPlan], length: int) -> None:
    file = kept[0].trial("0000").adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    (problem,) = problems(kept)
    assert problem.startswith(f"the adapter of trial 0000 is damaged: {file} (")
