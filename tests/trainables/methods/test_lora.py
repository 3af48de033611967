"""LoRA: exactly the chosen layers, from PEFT, and a base that is never written."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.tuners.lora import LoraLayer

from spaces.methods.registry import configuration
from spaces.model.inventory import LAYER_RANGES, TARGETS, select
from tests.trainables.tiny_models import ALL, BERT, GPT2
from trainables.adapters.attach import attach


@given(st.sampled_from(ALL), st.sampled_from(TARGETS), st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 4)))
@settings(max_examples=80, deadline=None)
def test_exactly_the_chosen_layers_are_adapted(tiny: object, targets: str, layers: str | int) -> None:
    chosen = configuration("lora", {"targets": targets, "layers": layers})
    names = {layer.name for layer in select(tiny.inventory, targets, layers)}  # type: ignore[attr-defined,arg-type]
    if not names:
        return
    model = attach(tiny.model(), "lora", chosen, tiny.inventory, seed=1).base_model.model  # type: ignore[attr-defined]
    assert {name for name, module in model.named_modules() if isinstance(module, LoraLayer)} == names


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("scaling", [0.5, 2.0])
def test_scaling_is_what_multiplies_the_product(rank: int, scaling: float) -> None:
    chosen = configuration("lora", {"rank": rank, "scaling": scaling})
    model = attach(BERT.model(), "lora", chosen, BERT.inventory, seed=1)
    layer = next(module for module in model.modules() if isinstance(module, LoraLayer))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.shape[0] == rank
    assert not b.any()
    with torch.no_grad():
        b.fill_(0.1)
    torch.testing.assert_close(layer.get_delta_weight("default"), scaling * b @ a)


def test_a_weight_stored_the_other_way_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        attach(GPT2.model(), "lora", configuration("lora", {}), GPT2.inventory, seed=1)
