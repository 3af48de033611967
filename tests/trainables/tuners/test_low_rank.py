"""Adapters written as ones that PEFT loads by itself compute the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from spaces.methods.base.method import Configuration
from spaces.methods.registry import configuration
from spaces.spec.sections import Task
from tests.trainables.short_trainings import attached, close, train
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.base_model.inventory import inside
from trainables.methods.melora import MeLoraLayer
from trainables.methods.registry import adapters
from trainables.tuners.adapter import NoStockForm, StockForm
from trainables.tuners.low_rank import PREFIX

LLAMA = Tiny("llama", Task.CAUSAL_LM)
CONFIGURATIONS: list[Configuration] = [
    configuration("lora-xs", {"targets": "all", "rank": 3, "scaling": 8.0}),
    configuration("melora", {"targets": "all", "rank": 2, "groups": 4}),
    configuration("ether", {"targets": "all", "blocks": 4}),
    configuration("ether", {"targets": "vo", "blocks": 2, "side": "output"}),
    configuration("ether-plus", {"targets": "all", "blocks": 2}),
    configuration("ether-plus", {"layers": "last", "side": "input"}),
    configuration("lorta", {"targets": "all", "rank": 3}),
    configuration("hadamard", {}),
]
NAMES = ("lora-xs", "melora", "ether", "ether", "ether-plus", "ether-plus", "lorta", "hadamard")


def cases() -> Iterator[object]:
    for tiny in (BERT, GPT2, LLAMA):
        for number, (name, chosen) in enumerate(zip(NAMES, CONFIGURATIONS, strict=True)):
            if (tiny, name) != (GPT2, "hadamard"):
                yield pytest.param(tiny, name, chosen, id=f"{tiny.family}-{name}-{number}")


def plain(tiny: Tiny, model: PeftModel, form: StockForm) -> PeftModel:
    """A model that PEFT makes of the form alone, with the trained head."""
    head: dict[str, Tensor] = {
        name: tensor
        for name, tensor in get_peft_model_state_dict(model, save_embedding_layers=False).items()
        if inside(name.removeprefix(PREFIX), tiny.inventory.head_modules)
    }
    assert type(form.config).__module__.startswith("peft.")
    form.config.modules_to_save = list(tiny.inventory.head_modules) or None
    loaded = get_peft_model(tiny.model(), form.config)
    result = set_peft_model_state_dict(loaded, {**form.tensors, **head})
    assert result.unexpected_keys == []
    assert not any("lora" in name for name in result.missing_keys)
    return loaded


@pytest.mark.parametrize(("tiny", "name", "chosen"), cases())
def test_the_stock_form_is_equal(tiny: Tiny, name: str, chosen: Configuration) -> None:
    model = train(tiny, attached(tiny, name, chosen), name, chosen)
    form = adapters()[name].stock(model, chosen)
    trained = tiny.logits(model)
    assert not torch.allclose(trained, tiny.logits(tiny.model()), atol=1e-3)
    close(tiny.logits(plain(tiny, model, form)), trained, 1e-5)


def test_ranks_may_differ() -> None:
    model = attached(BERT, "melora")
    layers = [module for module in model.modules() if isinstance(module, MeLoraLayer)]
    with torch.no_grad():
        for layer in layers:
            layer.melora_B["default"].normal_()
        for rank, layer in zip((1, 3), layers, strict=False):
            layer.melora_A["default"] = nn.Parameter(torch.randn(2, rank, layer.in_features // 2))
            layer.melora_B["default"] = nn.Parameter(torch.randn(2, layer.out_features // 2, rank))
    form = adapters()["melora"].stock(model, configuration("melora", {}))
    assert form.config.r == 4
    assert sorted(form.config.rank_pattern.values()) == [2, 6]
    close(BERT.logits(plain(BERT, model, form)), BERT.logits(model), 1e-4)


def test_glora_adapts_no_weight_stored_the_other_way() -> None:
    with pytest.raises(NoStockForm, match=r"hadamard: .*h\.0\.attn\.c_proj: PEFT's GLoRA adapts no Conv1D"):
        adapters()["hadamard"].stock(attached(GPT2, "hadamard"), configuration("hadamard", {}))


def test_pasta_has_none() -> None:
    with pytest.raises(NoStockForm, match="pasta: PEFT has no equal form"):
        adapters()["pasta"].stock(attached(BERT, "pasta"), configuration("pasta", {}))
