"""Prompt tuning (arXiv 2104.08691), by PEFT's own tuner."""

from __future__ import annotations

from peft import PeftConfig, PromptTuningConfig, PromptTuningInit

from spaces.methods.prompt_tuning import PromptTuningConfiguration
from spaces.model.inventory import Inventory
from trainables.tuners.adapter import Adapter


class PromptTuning(Adapter[PromptTuningConfiguration]):
    """Trained embeddings before the text; `attach` seeds the tokens whose embeddings they start from."""

    name = "prompt-tuning"

    def peft_config(self, configuration: PromptTuningConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Give the model's sizes, which PEFT cannot read off every model."""
        assert inventory.text is not None
        return PromptTuningConfig(
            num_virtual_tokens=configuration.virtual_tokens,
            num_layers=inventory.blocks,
            token_dim=inventory.text.width,
            num_attention_heads=inventory.text.key_value_heads,
            prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
        )


ADAPTERS = (PromptTuning(),)
