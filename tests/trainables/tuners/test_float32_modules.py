"""Modules that compute in float32 within a model of another type."""

from __future__ import annotations

import copy

import torch
from torch import nn

from trainables.tuners.float32_modules import cast, compute_in_float32, restore_types


def test_a_module_takes_and_gives_the_type_around_it_and_computes_in_float32() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).bfloat16()
    norm = model[1]
    compute_in_float32(norm, torch.bfloat16)
    copied = copy.deepcopy(model)
    x = torch.randn(3, 4).bfloat16()
    for one in (model, copied):
        assert {parameter.dtype for parameter in one[1].parameters()} == {torch.float32}
        inner = one[0](x)
        expected = nn.functional.layer_norm(inner.float(), (4,), one[1].weight, one[1].bias)
        assert torch.equal(one(x), expected.bfloat16())
    restore_types(model)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert torch.equal(model(x), model[1](model[0](x)))
    assert not norm._forward_hooks
    assert not norm._forward_pre_hooks


def test_a_float32_model_is_left_without_hooks() -> None:
    layer = nn.Linear(2, 2)
    compute_in_float32(layer, torch.float32)
    assert not layer._forward_hooks


def test_integers_are_not_cast() -> None:
    ids, values = torch.arange(3), torch.ones(2)
    found = cast({"ids": ids, "values": [values]}, torch.bfloat16)
    assert found["ids"] is ids
    assert found["values"][0].dtype == torch.bfloat16
