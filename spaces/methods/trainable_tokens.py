"""Trainable tokens: a few rows of the token embeddings are trained, from PEFT."""

from __future__ import annotations

from itertools import chain, islice
from typing import Literal

from pydantic import Field, NonNegativeInt

from spaces.methods.base.method import Configuration, Method, Unfit
from spaces.model.budget import Count, LayerCount
from spaces.model.inventory import Inventory, TextInput


class TrainableTokensConfiguration(Configuration):
    """The embeddings of the model's special tokens train, then those of the ids from `first_token` on.

    Only the tokenizer knows which other ids occur in texts (BERT's first are unused), so without `first_token` there
    are none.
    """

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the embeddings.")
    tokens: int = Field(default=1, ge=1, description="Number of tokens whose embeddings train.")
    first_token: NonNegativeInt | Literal["none"] = Field(
        default="none", description="Id from which tokens other than special ones are taken; none: special ones alone."
    )


def token_ids(configuration: TrainableTokensConfiguration, text: TextInput) -> list[int]:
    """Return the trained ids, ascending."""
    first = text.vocabulary if configuration.first_token == "none" else configuration.first_token
    others = (one for one in range(first, text.vocabulary) if one not in text.special_tokens)
    return sorted(islice(chain(text.special_tokens, others), configuration.tokens))


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
        available = self._available(configuration, inventory, text)
        if configuration.tokens > available:
            raise Unfit(
                f"tokens = {configuration.tokens} exceeds the {available:,} that there are: "
                f"{len(text.special_tokens)} special tokens of {inventory.model_type}, and those from first_token on",
                smallest=text.width,
            )
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
        tokens = min(allowance // text.width, self._available(configuration, inventory, text))
        return configuration.model_copy(update={"tokens": tokens})

    def _text(self, inventory: Inventory) -> TextInput:
        if inventory.text is None:
            raise Unfit(f"{self.name}: {inventory.model_type} has no tokens", smallest=0)
        if inventory.saves_embedding:
            raise Unfit(f"{self.name}: model.modules_to_save trains all token embeddings", smallest=0)
        return inventory.text

    def _available(self, configuration: TrainableTokensConfiguration, inventory: Inventory, text: TextInput) -> int:
        special, first = text.special_tokens, configuration.first_token
        available = len(special)
        if first != "none":
            available = sum(one < first for one in special) + max(0, text.vocabulary - first)
        if not available:
            raise Unfit(
                f"first_token = {first}: {inventory.model_type} names no special tokens; allowed: an id below "
                f"{text.vocabulary:,}",
                smallest=0,
            )
        return available


METHODS = (TrainableTokens(),)
