"""Methods of PEFT's get the layers by their full names, and how these store their weights."""

from __future__ import annotations

from typing import Any

import pytest

from spaces.methods.registry import configuration
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.methods.registry import adapters
from trainables.tuners.peft_method import transposed


@pytest.mark.parametrize(("tiny", "stored"), [(BERT, False), (GPT2, True)], ids=str)
def test_conv1d_stores_its_weight_transposed(tiny: Tiny, stored: bool) -> None:
    assert transposed(tiny.inventory.layers) is stored
    chosen: Any = configuration("lora", {"targets": "mlp", "layers": 1})
    config = adapters()["lora"].peft_config(chosen, tiny.inventory, seed=1)
    assert config.fan_in_fan_out is stored
    last = [layer.name for layer in tiny.inventory.layers if layer.block == tiny.inventory.blocks - 1]
    assert set(config.target_modules) == {name for name in last if "attention" not in name and "attn" not in name}
