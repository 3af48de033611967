"""PASTA: trained vectors added to the hidden states of special tokens (arXiv 2210.04382)."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from spaces.methods.base.knobs import Choice
from spaces.methods.base.layer_method import fit_place
from spaces.methods.base.method import Configuration, Method, Unfit, check_layers
from spaces.model.budget import Count
from spaces.model.inventory import LAYER_RANGES, Inventory, LayerChoice, chosen_blocks


class PastaConfiguration(Configuration):
    """Before each chosen block h ← h + dropout(e) at every special token, e being the block's vector for that token.

    Vectors start at 0, where the paper draws from N(0, 0.02²), so that training starts from the base. The paper gives
    the first, second and third special token of a row their own vectors; here equal tokens share one, which also holds
    under packing and in generation with a cache.
    """

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of the vectors.")
    token_ids: str = Field(
        default="special",
        pattern=r"^(special|\d+(,\d+)*)$",
        description="Ids of the special tokens, with commas; special: those that the model's config names (RoBERTa's "
        "0,2), or 101,102 of BERT's uncased vocabulary.",
    )
    layers: LayerChoice = Field(
        default="all", description="Blocks to adapt: all, last-half, last, the last N; one is the last."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the added vectors.")

    @field_validator("token_ids", mode="before")
    @classmethod
    def _single(cls, value: Any) -> Any:
        """Accept a single id written as a number."""
        return str(int(value)) if isinstance(value, int | float) else value

    @field_validator("token_ids")
    @classmethod
    def _distinct(cls, value: str) -> str:
        ids = [] if value == "special" else value.split(",")
        if len({int(one) for one in ids}) < len(ids):
            raise ValueError("names a token twice")
        return value


def tokens(configuration: PastaConfiguration, inventory: Inventory) -> tuple[int, ...]:
    """Return the ids as numbers.

    Raises:
        Unfit: when the model has no such tokens, or names none.
    """
    text = inventory.text
    if text is None:
        raise Unfit(f"pasta: {inventory.model_type} reads no tokens", smallest=0)
    if configuration.token_ids == "special":
        found = text.special_tokens
    else:
        found = tuple(int(one) for one in configuration.token_ids.split(","))
    if not found or max(found) >= text.vocabulary:
        lack = "knows ids" if found else "names no special tokens; allowed: ids"
        raise Unfit(
            f"token_ids = {configuration.token_ids}: {inventory.model_type} {lack} below {text.vocabulary:,}",
            smallest=0,
        )
    return found


def blocks(configuration: PastaConfiguration, inventory: Inventory) -> tuple[int, ...]:
    """Return the numbers of the adapted blocks."""
    return chosen_blocks(configuration.layers, inventory.blocks)


class Pasta(Method[PastaConfiguration]):
    """Trains d parameters for a special token in a block of width d. Its size is set by its place and tokens.

    The learning rate is the published one for named entities; the one for sentences, 2.5e-4, goes with 150 epochs.
    """

    name = "pasta"
    summary = "vectors added to special tokens before each block"
    source = "arXiv 2210.04382"
    configuration = PastaConfiguration
    knobs = {"layers": Choice(LAYER_RANGES)}  # noqa: RUF012

    def count(self, configuration: PastaConfiguration, inventory: Inventory) -> Count:
        ids = tokens(configuration, inventory)
        check_layers(configuration.layers, inventory)
        if not inventory.layers:
            raise Unfit(f"pasta: {inventory.model_type} has no blocks with linear layers", smallest=0)
        if any(one.block is not None for one in inventory.saved_parameters):
            reason = "wraps whole blocks, in which PEFT does not find a module of model.modules_to_save by its name"
            raise Unfit(f"pasta: {reason}", smallest=0)
        # The input of the first linear layer of a block is as wide as the block.
        widths = {one.block: one.in_features for one in reversed(inventory.layers)}
        width = sum(widths[block] for block in blocks(configuration, inventory))
        total = len(ids) * width
        return Count(total, total, 4 * total, inventory.head_parameters, inventory.base_parameters, total, layers=())

    def fit(self, configuration: PastaConfiguration, inventory: Inventory, allowance: int) -> PastaConfiguration:
        return fit_place(self, configuration, inventory, allowance)


METHODS = (Pasta(),)
