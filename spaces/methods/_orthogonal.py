"""OFT, BOFT and HRA: weights turned by orthogonal matrices, from PEFT."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from spaces.methods.base.layer_method import LayerMethod, Layers, common_divisors
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class OftConfiguration(PlacedConfiguration):
    """W R, with R block-diagonal; each block is the Cayley transform of a skew-symmetric matrix that starts at 0."""

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of the skew-symmetric matrices.")
    block_size: PositiveInt = Field(default=32, description="Order of the blocks; divides the inputs of every target.")


class Oft(LayerMethod[OftConfiguration]):
    """Trains n (b - 1) / 2 parameters for a weight of m × n. The learning-rate prior is by analogy with LoRA's."""

    name = "oft"
    summary = "inputs turned by orthogonal blocks"
    source = "arXiv 2306.07280; PEFT"
    configuration = OftConfiguration
    size_knob = "block_size"
    linear_only = True

    def parameters(self, configuration: OftConfiguration, layer: LinearLayer) -> int:
        return layer.in_features * (configuration.block_size - 1) // 2

    def obstacle(self, configuration: OftConfiguration, layer: LinearLayer) -> str | None:
        if configuration.block_size == 1:
            return "block_size = 1 turns nothing; allowed: at least 2"
        return undivided(configuration.block_size, layer)

    def sizes(self, configuration: OftConfiguration, layers: Layers) -> list[int]:
        return common_divisors(one.in_features for one in layers)[1:]


class BoftConfiguration(PlacedConfiguration):
    """diag(s) W R, with s = 1 and R = 1 at the start; R is block-diagonal, each block a Cayley transform.

    With more than one butterfly factor PEFT compiles a CUDA kernel, and silently uses one where it cannot, so there
    is one here: blocks as OFT's, stored whole, and a trained length of each row of W.
    """

    learning_rate: float = Field(default=5e-3, gt=0, description="Peak learning rate of the blocks and of s.")
    block_size: PositiveInt = Field(default=4, description="Order of the blocks; divides the inputs of every target.")


class Boft(LayerMethod[BoftConfiguration]):
    """Trains n b + m parameters for a weight of m × n. The learning-rate prior is by analogy with LoRA's."""

    name = "boft"
    summary = "inputs turned by orthogonal blocks, rows scaled"
    source = "arXiv 2311.06243; PEFT"
    configuration = BoftConfiguration
    size_knob = "block_size"
    linear_only = True

    def parameters(self, configuration: BoftConfiguration, layer: LinearLayer) -> int:
        return layer.in_features * configuration.block_size + layer.out_features

    def obstacle(self, configuration: BoftConfiguration, layer: LinearLayer) -> str | None:
        return undivided(configuration.block_size, layer)

    def sizes(self, configuration: BoftConfiguration, layers: Layers) -> list[int]:
        return common_divisors(one.in_features for one in layers)


class HraConfiguration(PlacedConfiguration):
    """W H₁ … H_r, each H a Householder reflection. They start as equal pairs, which undo each other: r is even."""

    learning_rate: float = Field(default=5e-3, gt=0, description="Peak learning rate of the reflections' vectors.")
    rank: int = Field(default=8, ge=2, multiple_of=2, description="Number of reflections, even.")


class Hra(LayerMethod[HraConfiguration]):
    """Trains r n parameters for a weight of m × n. The learning-rate prior is by analogy with LoRA's."""

    name = "hra"
    summary = "inputs turned by a chain of reflections"
    source = "arXiv 2405.17484; PEFT"
    configuration = HraConfiguration
    size_knob = "rank"
    linear_only = True

    def parameters(self, configuration: HraConfiguration, layer: LinearLayer) -> int:
        return configuration.rank * layer.in_features

    def sizes(self, configuration: HraConfiguration, layers: Layers) -> range:
        return range(2, max(2, min(one.in_features for one in layers)) + 1, 2)


def undivided(size: int, layer: LinearLayer) -> str | None:
    """Why blocks of order `size` do not fit the inputs of `layer`; None where they do."""
    if layer.in_features % size == 0:
        return None
    return (
        f"block_size = {size} does not divide the {layer.in_features:,} inputs of {layer.name}; allowed: a divisor of "
        "the inputs of every target"
    )


METHODS = (Oft(), Boft(), Hra())
