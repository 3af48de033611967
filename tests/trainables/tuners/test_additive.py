"""Updates beside and around a linear layer add up, and are those of the pretrained weight."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftConfig

from tests.trainables.related_layers import UNITS, adapted
from tests.trainables.short_trainings import attached
from tests.trainables.tiny_models import BERT
from trainables.methods._reflections import EtherConfig
from trainables.methods.hadamard import HadamardConfig
from trainables.tuners.additive import AdditiveLayer


@pytest.mark.parametrize("name", ["ether", "ether-plus", "hadamard"])
def test_two_active_adapters_add_their_differences(name: str) -> None:
    model = attached(BERT, name)
    model.add_adapter("other", model.peft_config["default"])
    layer: Any = next(module for module in model.modules() if isinstance(module, AdditiveLayer))
    with torch.no_grad():
        for parameters in layer.adapter_layer_names:
            for parameter in getattr(layer, parameters).values():
                parameter.normal_()
    x, plain = torch.randn(3, layer.in_features), layer.base_layer
    layer.set_adapter(["default", "other"])
    both = layer(x) - plain(x)
    alone = []
    for adapter in ("default", "other"):
        layer.set_adapter([adapter])
        alone.append(layer(x) - plain(x))
    torch.testing.assert_close(both, alone[0] + alone[1], atol=1e-4, rtol=1e-4)


@given(UNITS, UNITS, st.sampled_from([EtherConfig(side="both"), EtherConfig(relaxed=True), HadamardConfig()]))
@settings(max_examples=20, deadline=None)
def test_a_change_is_that_of_the_pretrained_weight_when_merged_too(rows: int, columns: int, config: PeftConfig) -> None:
    layer = adapted(rows, columns, False, copy.deepcopy(config))
    expected = layer.get_delta_weight("default")
    layer.merge()
    assert torch.equal(layer.get_delta_weight("default"), expected)
