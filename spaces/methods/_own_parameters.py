"""Training some of the base's own small parameters, shared by BitFit and LN tuning."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PositiveInt

from spaces.methods.base.method import Configuration, Method, Unfit, check_layers
from spaces.model.budget import Count, LayerCount
from spaces.model.inventory import BaseParameter, Inventory, chosen_blocks
from spaces.model.places import BlockNumbers, BlockRange, ParsedLayers


class OwnParametersConfiguration(Configuration):
    """The blocks whose parameters train."""

    layers: Annotated[Literal["all"] | PositiveInt | BlockNumbers | BlockRange, ParsedLayers] = Field(
        default="all",
        description="Blocks to adapt: all, the last N, or by number, from 0: [2, 3, 7] or {first: 2, last: 7}.",
    )


S = TypeVar("S", bound=OwnParametersConfiguration)


class OwnParameters(Method[S]):
    """Trains whole parameters of the base."""

    size_knob = "layers"

    @abstractmethod
    def belongs(self, parameter: BaseParameter) -> bool:
        """Return whether `parameter` is of the trained kind."""

    def parameters(self, configuration: S, inventory: Inventory) -> tuple[BaseParameter, ...]:
        """Return the parameters of the base that train.

        Raises:
            Unfit: when the model has none.
        """
        layers = configuration.layers
        check_layers(layers, inventory)
        blocks = frozenset(chosen_blocks(layers, inventory.blocks))
        chosen = tuple(
            one
            for one in inventory.parameters
            if self.belongs(one) and (layers == "all" if one.block is None else one.block in blocks)
        )
        if not chosen:
            raise Unfit(f"{self.name}: {inventory.model_type} has nothing to train in layers = {layers}", smallest=0)
        return chosen

    def count(self, configuration: S, inventory: Inventory) -> Count:
        chosen = self.parameters(configuration, inventory)
        total = sum(one.size for one in chosen)
        layers = tuple(LayerCount(one.name, one.shape, one.size) for one in chosen)
        return Count(total, total, 4 * total, inventory.head_parameters, inventory.base_parameters, total, layers)

    def fit(self, configuration: S, inventory: Inventory, allowance: int) -> S:
        """Return the configuration with as many of the last blocks as the allowance permits."""
        blocks = {one.block for one in self.parameters(configuration, inventory) if one.block is not None}
        places: list[Any] = [configuration.layers, *(inventory.blocks - block for block in sorted(blocks))]
        smallest = 0
        for place in places:
            trial = configuration.model_copy(update={"layers": place})
            smallest = self.count(trial, inventory).trainable_parameters
            if smallest <= allowance:
                return trial
        raise Unfit(f"the smallest {self.name} here trains {smallest:,} parameters", smallest)
