"""Tied parameters are one in several layers, saved once, and tied again when loaded."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn

from spaces.methods.registry import configuration, method
from tests.trainables.lorta_models import held
from tests.trainables.short_trainings import attached, close, train
from tests.trainables.tiny_models import BERT
from trainables.adapters.attach import trained_parameters


def check_shared(model: nn.Module, adapter: str = "default") -> None:
    """BERT's layers of two shapes: each A fits its outputs, each B its inputs; six kinds, three blocks."""
    a, b, heads, kinds, blocks = held(model, adapter)
    assert {len(one) for one in a} == {one.shape[1] * 4 for one in b} == {16, 24}
    assert [len(one) for one in (a, b, heads, kinds, blocks)] == [2, 2, 1, 6, 3]


def test_what_layers_share_is_one_parameter() -> None:
    model = attached(BERT, "lorta")
    check_shared(model)
    count = method("lorta").count(configuration("lorta", {"targets": "all", "rank": 2}), BERT.inventory)
    adapter, _ = trained_parameters(model, BERT.inventory)
    assert len(adapter) == 14
    assert sum(one.numel() for one in adapter.values()) == count.trainable_parameters == 2 * (40 + 10 + 4 + 6 + 3)
    train(BERT, model, "lorta")
    check_shared(model)
    check_shared(copy.deepcopy(model))
    model.add_adapter("other", copy.deepcopy(model.peft_config["default"]))
    check_shared(model, "other")
    assert not any(one & other for one, other in zip(held(model), held(model, "other"), strict=True))


@pytest.mark.parametrize("sparing", [False, True])
def test_it_is_saved_once_and_shared_again_when_loaded(sparing: bool, tmp_path: Path) -> None:
    model = train(BERT, attached(BERT, "lorta"), "lorta")
    model.save_pretrained(tmp_path)
    saved = {name: one for name, one in load_file(tmp_path / "adapter_model.safetensors").items() if "lorta" in name}
    assert len(saved) == 14
    loaded = PeftModel.from_pretrained(BERT.model(), tmp_path, is_trainable=True, low_cpu_mem_usage=sparing)
    check_shared(loaded)
    close(BERT.logits(loaded), BERT.logits(model), 1e-6)
    for one in (loaded, model):
        torch.manual_seed(2)  # dropout
        train(BERT, one, "lorta")
    close(BERT.logits(loaded), BERT.logits(model), 1e-6)


def test_a_gradient_adds_up_over_the_layers_that_share() -> None:
    model = attached(BERT, "lorta")
    with torch.no_grad():
        for parameters in held(model):
            for parameter in parameters:
                parameter.normal_(std=0.3)
    exact = copy.deepcopy(model).double().eval()
    (heads,) = held(exact)[2]
    shift = torch.randn(heads.shape, generator=torch.Generator().manual_seed(1)).double()

    def value(step: float) -> Tensor:
        with torch.no_grad():
            heads.add_(step * shift)
            found = BERT.logits(exact).square().sum()
            heads.sub_(step * shift)
        return found

    exact(**BERT.inputs()).logits.square().sum().backward()
    assert heads.grad is not None
    slope = float((heads.grad * shift).sum())
    assert slope == pytest.approx(float(value(1e-5) - value(-1e-5)) / 2e-5, rel=1e-5)
