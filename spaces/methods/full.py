"""Full fine-tuning: every weight of the base, the upper end of every comparison."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.method import Configuration, Method, Unfit
from spaces.model.budget import Count, LayerCount
from spaces.model.inventory import Inventory


class FullConfiguration(Configuration):
    """Nothing to choose but the learning rate."""

    learning_rate: float = Field(default=5e-5, gt=0, description="Peak learning rate of all weights.")


class Full(Method[FullConfiguration]):
    """Trains the whole base."""

    name = "full"
    summary = "every weight of the base"
    source = "the usual upper end"
    configuration = FullConfiguration

    def count(self, configuration: FullConfiguration, inventory: Inventory) -> Count:
        base = inventory.base_parameters - inventory.saved_size
        layers = tuple(LayerCount(one.name, one.shape, one.size) for one in inventory.parameters)
        return Count(base, base, 4 * base, inventory.head_parameters, inventory.base_parameters, base, layers)

    def fit(self, configuration: FullConfiguration, inventory: Inventory, allowance: int) -> FullConfiguration:
        size = inventory.base_parameters - inventory.saved_size
        if allowance < size:
            raise Unfit(f"full trains {size:,}", smallest=size)
        return configuration


METHODS = (Full(),)
