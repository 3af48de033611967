"""The tiny models on which capabilities are tried."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spaces.methods.registry import method
from trainables.capabilities.tiny_models import (
    CONV1D,
    Packed,
    adapted,
    base,
    fitted,
    outputs,
    packed,
    possible_base,
    same,
)


@pytest.mark.parametrize("kind", ["bert", "qwen2", CONV1D])
def test_layers_of_attention_are_square_and_others_not(kind: str) -> None:
    layers = base(kind)[1].layers
    square = {layer.kind for layer in layers if layer.in_features == layer.out_features}
    assert square <= {"query", "key", "value", "output"}
    assert ("query_key_value" in {layer.kind for layer in layers}) is (kind == CONV1D)
    assert all(layer.transposed is (kind == CONV1D) for layer in layers)


@torch.no_grad()
def test_an_adapter_has_moved_and_the_base_has_not() -> None:
    before = outputs(base("bert")[0])
    assert not same(outputs(adapted("lora", "bert")), before)
    assert same(outputs(base("bert")[0]), before)


def test_a_method_is_tried_where_it_is_possible() -> None:
    assert possible_base("lora") == "bert"
    assert possible_base("prefix-tuning") == "qwen2"
    inventory = base("bert")[1]
    assert method("lora").count(fitted("lora", "bert"), inventory).trainable_parameters <= inventory.base_parameters


def test_packing_rounds_a_weight_to_bytes() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(7, 5)
    made = Packed(layer)
    assert (made.weight.dtype, tuple(made.weight.shape)) == (torch.uint8, (35, 1))
    x = torch.eye(7)
    step = float(layer.weight.abs().max()) / 127
    torch.testing.assert_close(made(x), layer(x), atol=step / 2 + 1e-6, rtol=0)


@torch.no_grad()
def test_a_packed_base_computes_nearly_the_same() -> None:
    assert not same(outputs(packed("bert")), outputs(base("bert")[0]))
    assert same(outputs(packed("bert")), outputs(base("bert")[0]), 0.2)
