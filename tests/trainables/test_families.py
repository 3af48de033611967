"""Further families of models: their layers against their modules, and the ways of adapting that need no known kind."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from spaces.methods.registry import configuration, method
from spaces.model.inventory import Kind
from spaces.spec.sections import Task
from tests.trainables.tiny_models import MORE, Tiny
from trainables.base_model.inventory import inside

SEPARATE: tuple[Kind, ...] = ("query", "key", "value", "output", "up", "down")
FUSED: tuple[Kind, ...] = ("query_key_value", "output", "up", "down")
ATTENTION: tuple[Kind, ...] = ("query", "key", "value", "output")
GATED_EXPERT: tuple[Kind, ...] = ("gate", "up", "down")
KINDS: dict[str, tuple[Kind, ...]] = {
    "modernbert": ("query_key_value", "output", "gate_up", "down"),
    "deberta": FUSED,
    "phi3": ("query_key_value", "output", "gate_up", "down"),
    "gpt_neox": FUSED,
    "bloom": FUSED,
    "falcon": FUSED,
    "qwen2_moe": (*ATTENTION, *GATED_EXPERT, "unknown"),
    "qwen3_moe": ATTENTION,
    "mixtral": ATTENTION,
    "mamba": ("unknown",) * 4,
    "convnext": ("up", "down"),
    "resnet": (),
}


@pytest.mark.parametrize("tiny", MORE, ids=str)
def test_layers_and_counts_are_those_of_the_modules(tiny: Tiny) -> None:
    model, inventory = tiny.model(), tiny.inventory
    linear = {
        name: tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and any(part.isdigit() for part in name.split("."))
        and not inside(name, inventory.head_modules)
    }
    assert {one.name: (one.out_features, one.in_features) for one in inventory.layers} == linear
    kinds = Counter(one.kind for one in inventory.layers if one.block == 0)
    if tiny.family == "swin":
        assert kinds.pop("unknown") == 1  # between two stages
        assert [one.name for one in inventory.layers if one.kind == "unknown"] == [
            "swin.encoder.layers.0.downsample.reduction"
        ]
    if tiny.family == "deberta":
        kinds.pop("unknown", None)  # of positions
    assert kinds == Counter(KINDS.get(tiny.family, SEPARATE))
    total = sum(one.numel() for one in model.parameters())
    head = sum(one.numel() for name, one in model.named_parameters() if inside(name, inventory.head_modules))
    assert (inventory.base_parameters, inventory.head_parameters) == (total - head, head)
    assert (head > 0) == (tiny.task is not Task.CAUSAL_LM)


@pytest.mark.parametrize("tiny", MORE, ids=str)
def test_methods_without_targets_count_on_any_architecture(tiny: Tiny) -> None:
    model, inventory = tiny.model(), tiny.inventory
    names = {name: one.numel() for name, one in model.named_parameters() if not inside(name, inventory.head_modules)}
    assert method("full").count(configuration("full", {}), inventory).trainable_parameters == sum(names.values())
    norms = {one.name for one in inventory.parameters if one.role == "norm"}
    expected = sum(names[name] for name in norms)
    assert method("ln-tuning").count(configuration("ln-tuning", {}), inventory).trainable_parameters == expected


@pytest.mark.parametrize("tiny", MORE, ids=str)
def test_the_tiny_models_run(tiny: Tiny) -> None:
    assert torch.isfinite(tiny.logits(tiny.model())).all()
