"""Prefix tuning (arXiv 2101.00190), by PEFT's own tuner."""

from __future__ import annotations

from peft import PeftConfig, PrefixTuningConfig

from spaces.methods.prefix_tuning import PrefixTuningConfiguration, key_features
from spaces.model.inventory import Inventory
from trainables.tuners.adapter import Adapter


class PrefixTuning(Adapter[PrefixTuningConfiguration]):
    """Trained keys and values before those of the text, in every block; `attach` seeds them."""

    name = "prefix-tuning"

    def peft_config(self, configuration: PrefixTuningConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Give the features of all key heads together as the width, as PEFT means it."""
        assert inventory.text is not None
        return PrefixTuningConfig(
            num_virtual_tokens=configuration.virtual_tokens,
            num_layers=inventory.blocks,
            token_dim=key_features(inventory),
            num_attention_heads=inventory.text.key_value_heads,
        )


ADAPTERS = (PrefixTuning(),)
