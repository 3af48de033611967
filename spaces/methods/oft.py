"""OFT (arXiv 2306.07280): inputs turned by orthogonal blocks, from PEFT."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from spaces.methods._orthogonal import undivided
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


METHODS = (Oft(),)
