"""A copy must give the saved logits, within rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from spaces.errors import WorkError
from spaces.spec.sections import ModelSection
from tests.trainables.tiny_models import BERT
from trainables.adapters.verification import (
    TOLERANCE,
    difference,
    save_verification,
    saved_dtype,
    saved_inputs,
    saved_rows,
    verify,
)


def saved(folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    model = BERT.model()
    save_verification(model, BERT.inputs(), folder, dtype)
    return model


def test_rows_and_type_are_saved(tmp_path: Path) -> None:
    saved(tmp_path, torch.bfloat16)
    assert saved_dtype(tmp_path) == torch.bfloat16
    inputs = BERT.inputs()
    assert saved_rows(tmp_path) == len(inputs["input_ids"])
    assert saved_inputs(tmp_path).keys() == inputs.keys()
    assert all(torch.equal(tensor, inputs[name]) for name, tensor in saved_inputs(tmp_path).items())


def test_the_same_model_has_no_difference_and_a_moved_one_too_much(tmp_path: Path) -> None:
    model = saved(tmp_path)
    found, allowed = difference(model, tmp_path)
    assert found == 0
    assert allowed == pytest.approx(TOLERANCE[torch.float32] * max(1.0, float(BERT.logits(model).abs().max())))
    model.classifier.bias = nn.Parameter(model.classifier.bias + 0.125)  # type: ignore[union-attr, operator]
    found, allowed = difference(model, tmp_path)
    assert found == pytest.approx(0.125, abs=1e-5)
    assert found > allowed


def test_logits_of_another_shape_are_infinitely_far(tmp_path: Path) -> None:
    model = saved(tmp_path)
    model.classifier = nn.Linear(16, 5)
    assert difference(model, tmp_path)[0] == float("inf")


@pytest.mark.slow
def test_what_cannot_be_loaded_in_a_fresh_process_is_told_in_one_line(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(WorkError, match="the export cannot be loaded in a fresh process: ") as caught:
        verify(tmp_path, ModelSection(path=str(tmp_path)))
    assert "\n" not in str(caught.value)
