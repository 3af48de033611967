"""Trainable tokens: a few rows of the token embeddings are trained, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.count import Count, LayerCount
from spaces.inventory import Inventory, TextInput
from spaces.methods.base import Configuration, Method, Unfit


class TrainableTokensConfiguration(Configuration):
    """The embeddings of the special tokens that the config names train, then those of the ids from `first_token` on.

    A BERT config names no separating tokens; its English vocabularies have them at 101 and 102, below them unused ids.
    """

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the embeddings.")
    tokens: int = Field(default=8, ge=1, description="Number of tokens whose embeddings train.")
    first_token: int = Field(default=0, ge=0, description="Id from which tokens other than special ones are taken.")


def token_ids(configuration: TrainableTokensConfiguration, text: TextInput) -> list[int]:
    """The trained ids, ascending."""
    special = list(text.special_tokens)
    others = (one for one in range(configuration.first_token, text.vocabulary) if one not in special)
    return sorted((special + list(others))[: configuration.tokens])


class TrainableTokens(Method[TrainableTokensConfiguration]):
    """Trains as many numbers for a token as its embedding has; PEFT ships them twice where the output is tied to it.

    The learning-rate prior is by analogy with LoRA's.
    """

    name = "trainable-tokens"
    summary = "embeddings of a few tokens"
    source = "PEFT"
    configuration = TrainableTokensConfiguration
    size_knob = "tokens"

    def count(self, configuration: TrainableTokensConfiguration, inventory: Inventory) -> Count:
        text = self._text(inventory)
        available = self._available(configuration, text)
        if configuration.tokens > available:
            reason = f"tokens = {configuration.tokens} exceeds the {available:,} tokens from first_token on"
            raise Unfit(reason, smallest=text.width if available else 0)
        total = configuration.tokens * text.width
        layer = LayerCount(f"{text.embedding}.weight", (text.vocabulary, text.width), total)
        stored = 2 * total if text.tied else total
        return Count(
            total, stored, 4 * stored, inventory.head_parameters, inventory.base_parameters, total, layers=(layer,)
        )

    def fit(
        self, configuration: TrainableTokensConfiguration, inventory: Inventory, allowance: int
    ) -> TrainableTokensConfiguration:
        text = self._text(inventory)
        if allowance < text.width:
            raise Unfit(f"one trainable token has {text.width:,} parameters here", smallest=text.width)
        tokens = min(allowance // text.width, self._available(configuration, text))
        return configuration.model_copy(update={"tokens": tokens})

    def _text(self, inventory: Inventory) -> TextInput:
        if inventory.text is None:
            raise Unfit(f"{self.name}: {inventory.model_type} has no tokens", smallest=0)
        return inventory.text

    def _available(self, configuration: TrainableTokensConfiguration, text: TextInput) -> int:
        apart = sum(one < configuration.first_token for one in text.special_tokens)
        return apart + max(0, text.vocabulary - configuration.first_token)


METHODS = (TrainableTokens(),)
