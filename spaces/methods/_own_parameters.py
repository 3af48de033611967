"""BitFit and LN tuning: some of the base's own small parameters are trained, and nothing is added."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, TypeVar

from pydantic import Field, PositiveInt

from spaces.methods.base.method import Configuration, Method, Unfit, check_layers
from spaces.model.budget import Count, LayerCount
from spaces.model.inventory import BaseParameter, Inventory


class PartialConfiguration(Configuration):
    """In which blocks the parameters train."""

    layers: Literal["all"] | PositiveInt = Field(default="all", description="Blocks to adapt: all, or the last N.")


class BitFitConfiguration(PartialConfiguration):
    """The biases inside the transformer blocks train, those of the normalisations too."""

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of the biases.")


class LnTuningConfiguration(PartialConfiguration):
    """The weights and biases of the normalisations train; with all blocks, of those outside them too."""

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of the normalisations.")


S = TypeVar("S", bound=PartialConfiguration)


class Partial(Method[S]):
    """Trains whole parameters of the base."""

    size_knob = "layers"

    @abstractmethod
    def belongs(self, parameter: BaseParameter) -> bool:
        """Whether `parameter` is of the trained kind."""

    def parameters(self, configuration: S, inventory: Inventory) -> tuple[BaseParameter, ...]:
        """The base's parameters that train.

        Raises:
            Unfit: when the model has none.
        """
        layers = configuration.layers
        check_layers(layers, inventory)
        first = 0 if layers == "all" else inventory.blocks - layers
        chosen = tuple(
            one
            for one in inventory.parameters
            if self.belongs(one) and (layers == "all" if one.block is None else one.block >= first)
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
        """Keep as many of the last blocks as the allowance pays for."""
        blocks = {one.block for one in self.parameters(configuration, inventory) if one.block is not None}
        places: list[Any] = [configuration.layers, *(inventory.blocks - block for block in sorted(blocks))]
        smallest = 0
        for place in places:
            trial = configuration.model_copy(update={"layers": place})
            smallest = self.count(trial, inventory).trainable_parameters
            if smallest <= allowance:
                return trial
        raise Unfit(f"the smallest {self.name} here trains {smallest:,} parameters", smallest)


class BitFit(Partial[BitFitConfiguration]):
    """Trains the biases of the blocks. The learning-rate prior is by analogy with LoRA's."""

    name = "bitfit"
    summary = "biases alone"
    source = "arXiv 2106.10199"
    configuration = BitFitConfiguration

    def belongs(self, parameter: BaseParameter) -> bool:
        bias = parameter.role == "bias" or (parameter.role == "norm" and parameter.name.endswith(".bias"))
        return bias and parameter.block is not None


class LnTuning(Partial[LnTuningConfiguration]):
    """Trains the normalisations, as private copies in the type of the base.

    The learning-rate prior is by analogy with LoRA's.
    """

    name = "ln-tuning"
    summary = "normalisation layers alone"
    source = "arXiv 2312.11420; PEFT"
    configuration = LnTuningConfiguration

    def belongs(self, parameter: BaseParameter) -> bool:
        return parameter.role == "norm"


METHODS = (BitFit(), LnTuning())
