"""Prompt tuning (arXiv 2104.08691) and prefix tuning (arXiv 2101.00190), PEFT's own."""

from __future__ import annotations

from peft import PeftConfig, PrefixTuningConfig, PromptTuningConfig, PromptTuningInit

from spaces.methods.prefix_tuning import PrefixTuningConfiguration, key_features
from spaces.methods.prompt_tuning import PromptTuningConfiguration
from spaces.model.inventory import Inventory
from trainables.tuners.adapter import Adapter


class PromptTuning(Adapter[PromptTuningConfiguration]):
    """A prompt of embeddings; `attach` seeds the tokens that it starts from."""

    name = "prompt-tuning"

    def peft_config(self, configuration: PromptTuningConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """PEFT cannot read the width off every model."""
        assert inventory.text is not None
        return PromptTuningConfig(
            num_virtual_tokens=configuration.virtual_tokens,
            num_layers=inventory.blocks,
            token_dim=inventory.text.width,
            num_attention_heads=inventory.text.key_value_heads,
            prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
        )


class PrefixTuning(Adapter[PrefixTuningConfiguration]):
    """A prefix of keys and values; `attach` seeds it."""

    name = "prefix-tuning"

    def peft_config(self, configuration: PrefixTuningConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """PEFT takes the features of all key heads together for the width."""
        assert inventory.text is not None
        return PrefixTuningConfig(
            num_virtual_tokens=configuration.virtual_tokens,
            num_layers=inventory.blocks,
            token_dim=key_features(inventory),
            num_attention_heads=inventory.text.key_value_heads,
        )


ADAPTERS = (PromptTuning(), PrefixTuning())
