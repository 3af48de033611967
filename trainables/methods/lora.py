"""LoRA (arXiv 2106.09685), PEFT's own."""

from __future__ import annotations

from peft import LoraConfig, PeftConfig

from spaces.inventory import Inventory, select
from spaces.methods.lora import LoraConfiguration
from trainables.methods.base import Adapter


class Lora(Adapter[LoraConfiguration]):
    """A low-rank update; `attach` seeds the initial values."""

    name = "lora"

    def peft_config(self, configuration: LoraConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """The full name of every layer, for PEFT matches names by their end: output.dense, attention.output.dense."""
        layers = select(inventory, configuration.targets, configuration.layers)
        return LoraConfig(
            r=configuration.rank,
            lora_alpha=configuration.scaling * configuration.rank,
            lora_dropout=configuration.dropout,
            target_modules=[layer.name for layer in layers],
            fan_in_fan_out=any(layer.transposed for layer in layers),
        )


ADAPTERS = (Lora(),)
