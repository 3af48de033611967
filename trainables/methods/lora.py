"""LoRA (arXiv 2106.09685) and its variants, by PEFT's own tuner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft import LoraConfig
from torch import nn

from spaces.methods.base.layer_method import Layers
from spaces.methods.lora import LoraConfiguration
from trainables.tuners.adapter import ParameterGroup
from trainables.tuners.peft_method import LayerAdapter, transposed


class Lora(LayerAdapter[LoraConfiguration]):
    """A low-rank update; `attach` seeds the initial values."""

    name = "lora"
    config = LoraConfig

    def settings(self, configuration: LoraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Turn the scaling into `lora_alpha`: PEFT scales by `lora_alpha` / r, or by `lora_alpha` / √r for rsLoRA."""
        return {
            "r": configuration.rank,
            "lora_alpha": configuration.scaling * configuration.rank,
            "lora_dropout": configuration.dropout,
            "use_rslora": configuration.variant == "rslora",
            "use_dora": configuration.variant == "dora",
            "fan_in_fan_out": transposed(layers),
        }

    def groups(self, configuration: LoraConfiguration, parameters: Mapping[str, nn.Parameter]) -> list[ParameterGroup]:
        """Train B at `plus_ratio` times the rate of the rest (LoRA+, arXiv 2402.12354)."""
        fast = [parameter for name, parameter in parameters.items() if ".lora_B." in name]
        slow = [parameter for name, parameter in parameters.items() if ".lora_B." not in name]
        rate = configuration.learning_rate
        return [{"params": slow, "lr": rate}, {"params": fast, "lr": rate * configuration.plus_ratio}]


ADAPTERS = (Lora(),)
