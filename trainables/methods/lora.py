"""LoRA (arXiv 2106.09685) and its variants, PEFT's own."""

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
        """PEFT scales by `lora_alpha` / r, by `lora_alpha` / √r as rsLoRA."""
        return {
            "r": configuration.rank,
            "lora_alpha": configuration.scaling * configuration.rank,
            "lora_dropout": configuration.dropout,
            "use_rslora": configuration.variant == "rslora",
            "use_dora": configuration.variant == "dora",
            "fan_in_fan_out": transposed(layers),
        }

    def groups(self, configuration: LoraConfiguration, parameters: Mapping[str, nn.Parameter]) -> list[ParameterGroup]:
        """B at `plus_ratio` times the rate of all else (LoRA+, arXiv 2402.12354)."""
        fast = [parameter for name, parameter in parameters.items() if ".lora_B." in name]
        slow = [parameter for name, parameter in parameters.items() if ".lora_B." not in name]
        rate = configuration.learning_rate
        return [{"params": slow, "lr": rate}, {"params": fast, "lr": rate * configuration.plus_ratio}]


ADAPTERS = (Lora(),)
