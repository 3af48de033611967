"""PEFT's conversion to LoRA, of its tuners and of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from spaces.errors import RequestError
from spaces.spec.sections import Task
from tests.trainables.short_trainings import attached, close, train
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.exporting.lora import low_rank
from trainables.exporting.stock import write_adapter

pytestmark = pytest.mark.slow

VIT = Tiny("vit", Task.IMAGE_CLASSIFICATION)
ROBERTA = Tiny("roberta", Task.SEQUENCE_CLASSIFICATION)  # whose head has layers inside
ADDITIVE = ("lora", "sparta", "dst", "surm-circulant")


@pytest.mark.parametrize("name", ADDITIVE)
@pytest.mark.parametrize("tiny", [BERT, GPT2, ROBERTA, VIT], ids=lambda tiny: tiny.family)
def test_full_rank_computes_the_same(tiny: Tiny, name: str, tmp_path: Path) -> None:
    model = train(tiny, attached(tiny, name), name)
    model.save_pretrained(tmp_path / "native")
    smallest = min(min(one.out_features, one.in_features) for one in tiny.inventory.layers)
    write_adapter(low_rank(model, smallest), model, tmp_path / "native", tmp_path / "lora")
    loaded = PeftModel.from_pretrained(tiny.model(), tmp_path / "lora")
    assert loaded.peft_config["default"].peft_type == "LORA"
    close(tiny.logits(loaded), tiny.logits(model), 1e-4)


@pytest.mark.parametrize("rank", [1, 3, 0.5])
def test_a_lower_rank_is_the_best_there_is(rank: float) -> None:
    model = train(BERT, attached(BERT, "surm-circulant"), "surm-circulant")
    form = low_rank(model, rank)
    for layer in BERT.inventory.layers:
        path = f"base_model.model.{layer.name}"
        delta = model.get_submodule(path).get_delta_weight("default")
        singular = np.linalg.svd(delta.detach().numpy(), compute_uv=False)
        a, b = form.tensors[f"{path}.lora_A.weight"], form.tensors[f"{path}.lora_B.weight"]
        kept = len(a)
        if rank >= 1:
            assert kept == rank
        else:
            energy = np.cumsum(singular**2) / (singular**2).sum()
            assert kept == 1 + int((energy < rank).sum())
        lost = float(torch.linalg.norm(delta - b @ a))
        assert lost == pytest.approx(float(np.sqrt((singular[kept:] ** 2).sum())), abs=1e-5)


def test_a_rank_above_a_layer_is_refused() -> None:
    with pytest.raises(RequestError, match=r"--rank 17: The chosen rank 17 is larger than .*; allowed: from 1 to the"):
        low_rank(attached(BERT, "sparta"), 17)


def test_what_adds_nothing_to_weights_is_refused() -> None:
    with pytest.raises(RequestError, match=r"--format lora: PEFT converts no FULL adapter to LoRA; allowed: peft, "):
        low_rank(attached(BERT, "full"), 1)


def test_untouched_layers_are_not_expected() -> None:
    from spaces.methods.registry import configuration

    chosen = configuration("sparta", {"targets": "all", "density": 5 / 6000})
    config = low_rank(attached(BERT, "sparta", chosen), 1).config
    assert 0 < len(config.target_modules) <= 5
