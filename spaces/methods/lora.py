"""LoRA: a low-rank update beside each weight (arXiv 2106.09685), from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.count import Count
from spaces.inventory import Inventory
from spaces.methods.base import Method, PlacedConfiguration, Unfit, layerwise, placed_layers


class LoraConfiguration(PlacedConfiguration):
    """W + scaling · B A, with A of shape (rank, in) and B of shape (out, rank), B = 0 at the start."""

    learning_rate: float = Field(default=2e-3, gt=0, description="Peak learning rate of A and B.")
    rank: int = Field(default=8, ge=1, description="Rank of the update.")
    scaling: float = Field(default=2.0, gt=0, description="α / rank.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")


class Lora(Method[LoraConfiguration]):
    """Trains r (m + n) parameters for a weight of m × n."""

    name = "lora"
    summary = "low-rank update, rank r"
    source = "arXiv 2106.09685; PEFT"
    configuration = LoraConfiguration
    size_knob = "rank"

    def count(self, configuration: LoraConfiguration, inventory: Inventory) -> Count:
        layers = placed_layers(configuration, inventory)
        trainable = {one: configuration.rank * (one.out_features + one.in_features) for one in layers}
        return layerwise(inventory, trainable, adapter_bytes=4 * sum(trainable.values()))

    def fit(self, configuration: LoraConfiguration, inventory: Inventory, allowance: int) -> LoraConfiguration:
        layers = placed_layers(configuration, inventory)
        per_rank = sum(one.out_features + one.in_features for one in layers)
        if allowance < per_rank:
            raise Unfit(f"lora of rank 1 trains {per_rank:,} parameters here", smallest=per_rank)
        largest = min(min(one.out_features, one.in_features) for one in layers)
        return configuration.model_copy(update={"rank": min(allowance // per_rank, largest)})


METHODS = (Lora(),)
