"""Prompt and prefix tuning: the base stays as it is, and trained vectors stand before its input, from PEFT."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from pydantic import Field

from spaces.methods.base.method import Configuration, Method, Unfit
from spaces.model.budget import Count
from spaces.model.inventory import Inventory, TextInput


class VirtualTokensConfiguration(Configuration):
    """Training does not begin at the pretrained model: a prompt, however it is initialised, changes the output.

    Virtual tokens take positions as others do: those that data.max_length leaves.
    """

    virtual_tokens: int = Field(
        default=20,
        ge=1,
        description="Length of the prompt; at most half of all positions, and those that data.max_length leaves.",
    )


class PromptTuningConfiguration(VirtualTokensConfiguration):
    """Embeddings before those of the text, at the start copies of tokens that the training's seed draws."""

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the prompt.")


class PrefixTuningConfiguration(VirtualTokensConfiguration):
    """Keys and values before those of the text in every block, at the start normally distributed."""

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the keys and values.")


V = TypeVar("V", bound=VirtualTokensConfiguration)


class Prompt(Method[V]):
    """Trains `width` numbers for each virtual token. No prompt can be merged into weights."""

    size_knob = "virtual_tokens"

    @abstractmethod
    def width(self, inventory: Inventory, text: TextInput) -> int:
        """Numbers that one virtual token has."""

    @abstractmethod
    def obstacle(self, text: TextInput) -> str | None:
        """Why the model takes no such prompt; None where it does."""

    def count(self, configuration: V, inventory: Inventory) -> Count:
        width, longest = self._limits(inventory)
        tokens = configuration.virtual_tokens
        if longest is not None and tokens > longest:
            reason = f"virtual_tokens = {tokens} exceeds the room in {inventory.model_type}; allowed: {longest}"
            raise Unfit(reason, smallest=width)
        total = tokens * width
        return Count(total, total, 4 * total, inventory.head_parameters, inventory.base_parameters, total, layers=())

    def fit(self, configuration: V, inventory: Inventory, allowance: int) -> V:
        width, longest = self._limits(inventory)
        if allowance < width:
            raise Unfit(f"one virtual token of {self.name} has {width:,} parameters here", smallest=width)
        tokens = allowance // width
        return configuration.model_copy(update={"virtual_tokens": tokens if longest is None else min(tokens, longest)})

    def _limits(self, inventory: Inventory) -> tuple[int, int | None]:
        text = inventory.text
        reason = "it takes no tokens" if text is None else self.obstacle(text)
        if text is None or reason is not None:
            raise Unfit(f"{self.name}: impossible with this {inventory.model_type}: {reason}", smallest=0)
        width = self.width(inventory, text)
        if text.positions is None or text.room is None:
            return width, None
        if text.room < 1:
            raise Unfit(
                f"data.max_length = {text.longest} leaves no room among the {text.positions} positions of "
                f"{inventory.model_type}; allowed: at most {text.positions - 1}",
                smallest=width,
            )
        return width, min(text.positions // 2, text.room)


class PromptTuning(Prompt[PromptTuningConfiguration]):
    """The learning-rate prior is by analogy with LoRA's: the paper's 0.3 is Adafactor's."""

    name = "prompt-tuning"
    summary = "trained embeddings before the text"
    source = "arXiv 2104.08691; PEFT"
    configuration = PromptTuningConfiguration

    def width(self, inventory: Inventory, text: TextInput) -> int:
        return text.width

    def obstacle(self, text: TextInput) -> str | None:
        if text.takes_embeddings:
            return None
        return "from embeddings in the place of ids it cannot tell where the text ends, or does not take them"


class PrefixTuning(Prompt[PrefixTuningConfiguration]):
    """The learning-rate prior is by analogy with LoRA's."""

    name = "prefix-tuning"
    summary = "trained keys and values before the text's in every block"
    source = "arXiv 2101.00190; PEFT"
    configuration = PrefixTuningConfiguration

    def width(self, inventory: Inventory, text: TextInput) -> int:
        return 2 * inventory.blocks * key_features(inventory)

    def obstacle(self, text: TextInput) -> str | None:
        return None if text.takes_cache else "its forward takes no keys and values computed before"


def key_features(inventory: Inventory) -> int:
    """Features of the keys of one block, all heads together."""
    key = next(one for one in inventory.layers if one.kind in {"key", "query_key_value"})
    return key.out_features if key.kind == "key" else key.out_features // 3


METHODS = (PromptTuning(), PrefixTuning())
