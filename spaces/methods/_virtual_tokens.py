"""Trained vectors before the input of an unchanged base, shared by prompt tuning and prefix tuning."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from pydantic import Field

from spaces.methods.base.method import Configuration, Method, Unfit
from spaces.model.budget import Count
from spaces.model.inventory import Inventory, TextInput


class VirtualTokensConfiguration(Configuration):
    """A number of virtual tokens before the input.

    Training does not begin at the pretrained model, since any prompt changes the output. Virtual tokens take positions
    like other tokens: those that data.max_length leaves.
    """

    virtual_tokens: int = Field(
        default=20,
        ge=1,
        description="Length of the prompt; at most half of all positions, and those that data.max_length leaves.",
    )


V = TypeVar("V", bound=VirtualTokensConfiguration)


class VirtualTokens(Method[V]):
    """Trains `width` numbers for each virtual token. No prompt can be merged into weights."""

    size_knob = "virtual_tokens"

    @abstractmethod
    def width(self, inventory: Inventory, text: TextInput) -> int:
        """Return the trained numbers of one virtual token."""

    @abstractmethod
    def obstacle(self, text: TextInput) -> str | None:
        """Return why the model accepts no such prompt; None if it does."""

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
