"""Linear layers with deltas."""

from __future__ import annotations

import pytest
import torch
from peft import get_peft_model
from torch import nn

from spaces.methods.registry import configuration
from tests.trainables.shipped import parameter_groups
from tests.trainables.sparta_models import Lines, layers
from tests.trainables.tiny_models import BERT
from trainables.adapters.attach import attach
from trainables.methods.sparta import SpartaConfig, SpartaLayer


def test_all_linear_layers_by_pefts_shorthand() -> None:
    model = get_peft_model(Lines(4, 3), SpartaConfig(target_modules="all-linear", density=1.0))
    assert {name.rpartition(".")[2] for name in layers(model)} == {"first", "second"}


def test_what_is_not_linear_is_refused() -> None:
    with pytest.raises(TypeError, match="Embedding is not a linear layer"):
        SpartaLayer(nn.Embedding(3, 4), "default")  # type: ignore[arg-type]


def test_adapter_parameters_are_the_deltas_alone() -> None:
    model = attach(BERT.model(), "sparta", configuration("sparta", {"density": 0.1}), BERT.inventory, seed=1)
    adapter, _ = parameter_groups(model, BERT.inventory)
    assert {id(one) for one in adapter} == {id(layer.deltas["default"]) for layer in layers(model).values()}


def test_of_deltas_in_weight_and_bias_those_of_the_weight_alone_are_its_change() -> None:
    layer = SpartaLayer(nn.Linear(3, 2), "default")
    layer.update_layer("default", SpartaConfig(), places=torch.tensor([1, 5, 6], dtype=torch.int32))
    with torch.no_grad():
        layer.deltas["default"].copy_(torch.tensor([1.0, 2.0, 3.0]))
    assert layer.get_delta_weight("default").tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]
    assert not layer.supports_lora_conversion("default")
    assert not layer.supports_lora_conversion("other")
    layer.update_layer("other", SpartaConfig(), places=torch.tensor([0, 5], dtype=torch.int32))
    assert layer.supports_lora_conversion("other")
