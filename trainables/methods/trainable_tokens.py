"""Trainable tokens, PEFT's own."""

from __future__ import annotations

from peft import PeftConfig, TrainableTokensConfig

from spaces.inventory import Inventory
from spaces.methods.trainable_tokens import TrainableTokensConfiguration, token_ids
from trainables.methods.base import Adapter


class TrainableTokens(Adapter[TrainableTokensConfiguration]):
    """Rows of the token embeddings."""

    name = "trainable-tokens"

    def peft_config(self, configuration: TrainableTokensConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """The token embeddings by their full name."""
        assert inventory.text is not None
        return TrainableTokensConfig(
            target_modules=[inventory.text.embedding], token_indices=token_ids(configuration, inventory.text)
        )


ADAPTERS = (TrainableTokens(),)
