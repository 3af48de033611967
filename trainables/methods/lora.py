"""LoRA (arXiv 2106.09685), PEFT's own."""

from __future__ import annotations

from peft import LoraConfig, PeftConfig

from spaces.inventory import Inventory, select
from spaces.methods.lora import LoraConfiguration
from trainables.methods.base import Adapter, target_names


class Lora(Adapter[LoraConfiguration]):
    """A low-rank update; `attach` seeds the initial values."""

    name = "lora"

    def peft_config(self, configuration: LoraConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """PEFT scales by `lora_alpha` / r."""
        layers = select(inventory, configuration.targets, configuration.layers)
        return LoraConfig(
            r=configuration.rank,
            lora_alpha=configuration.scaling * configuration.rank,
            lora_dropout=configuration.dropout,
            target_modules=target_names(configuration, inventory),
            fan_in_fan_out=any(layer.transposed for layer in layers),
        )


ADAPTERS = (Lora(),)
