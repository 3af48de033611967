"""SURM's forms that plain PEFT holds, and the settings that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from spaces.methods.registry import configuration
from tests.trainables.short_trainings import train
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.adapters.attach import attach
from trainables.methods.registry import adapters
from trainables.tuners.adapter import NoStockForm, StockForm


def stock(tiny: Tiny, name: str, values: dict[str, Any]) -> tuple[PeftModel, StockForm]:
    """A trained adapter and its stock form."""
    chosen = configuration(name, values)
    model = attach(tiny.model(), name, chosen, tiny.inventory, seed=1)
    train(tiny, model, name, chosen, steps=3)
    return model, adapters()[name].stock(model, chosen)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("surm-circulant", {"targets": "attention", "alpha": 0.5}, "C3A"),
        ("surm-circulant", {"targets": "all", "block_size": 8}, "C3A"),
        ("surm-circulant", {"targets": "mlp", "block_size": 4, "trainable_alpha": True}, "C3A"),
        ("surm-kronecker", {"targets": "all", "factors": "square", "alpha": 0.5}, "LOKR"),
        ("surm-kronecker", {"targets": "qkv", "factors": "paper", "trainable_alpha": True}, "LOKR"),
    ],
)
def test_plain_peft_gives_the_same_outputs(name: str, values: dict[str, Any], kind: str, tmp_path: Path) -> None:
    model, form = stock(BERT, name, values)
    head = {path: one for path, one in get_peft_model_state_dict(model).items() if "surm" not in path}
    form.config.save_pretrained(tmp_path)
    save_file({**head, **form.tensors}, tmp_path / "adapter_model.safetensors")
    config = PeftConfig.from_pretrained(tmp_path)
    assert config.peft_type == kind
    assert type(config).__module__.startswith("peft.")
    plain = PeftModel.from_pretrained(BERT.model(), tmp_path)
    assert {path for path, _ in plain.named_parameters() if kind.lower() in path} == {
        path.replace(".c3a_kernel", ".c3a_kernel.default")
        .replace(".lokr_w1", ".lokr_w1.default")
        .replace(".lokr_w2", ".lokr_w2.default")
        for path in form.tensors
    }
    trained = BERT.logits(model)
    torch.testing.assert_close(BERT.logits(plain), trained, atol=1e-5, rtol=0)
    with plain.disable_adapter():
        assert (BERT.logits(plain) - trained).abs().max() > 1e-3
    assert {len(one.shape) for one in form.tensors.values()} == ({3} if kind == "C3A" else {2})


@pytest.mark.parametrize(
    ("tiny", "name", "values", "reason"),
    [
        (BERT, "surm-circulant", {"targets": "mlp"}, r"bert\.encoder.*dense: C3A holds square blocks.*24 × 16"),
        (BERT, "surm-circulant", {"placement": "adapter"}, "placement = adapter: PEFT has no equal form"),
        (BERT, "surm-kronecker", {"targets": "mlp", "factors": "paper"}, r"bert\.encoder.*dense: LoKr holds"),
        (BERT, "surm-kronecker", {"targets": "qkv", "block_size": 8}, r"query: LoKr holds no grid"),
        (BERT, "surm-toeplitz", {}, r"surm-toeplitz: .*bert\.encoder\.layer\.0\.attention\.self\.query"),
        (BERT, "surm-ldr", {}, r"surm-ldr: .*bert\.encoder\.layer\.0\.attention\.self\.query"),
        (GPT2, "surm-circulant", {"block_size": 8}, r"c_attn: .*Conv1D"),
    ],
)
def test_what_has_no_stock_form_names_the_layer_or_the_setting(
    tiny: Tiny, name: str, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NoStockForm, match=reason):
        stock(tiny, name, values)
