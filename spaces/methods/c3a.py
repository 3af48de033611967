"""C3A (arXiv 2407.19342): an update of circulant blocks, from PEFT."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from spaces.methods.base.layer_method import LayerMethod, Layers, common_divisors
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class C3aConfiguration(PlacedConfiguration):
    """W + ΔW / n, where ΔW consists of circulant blocks of order `block_size`, all 0 at the start.

    PEFT's own start is random; 0 makes training begin at the pretrained model.
    """

    learning_rate: float = Field(default=0.3, gt=0, description="Peak learning rate of the kernels.")
    block_size: PositiveInt | Literal["largest"] = Field(
        default="largest", description="Order of the blocks; largest: the greatest divisor of all sides of the targets."
    )


def sides(layers: Layers) -> list[int]:
    """Return both sides of every layer."""
    return [side for one in layers for side in (one.out_features, one.in_features)]


class C3a(LayerMethod[C3aConfiguration]):
    """Trains m n / b parameters for a weight of m × n in blocks of b.

    The learning-rate prior is that of PEFT's own benchmark.
    """

    name = "c3a"
    summary = "circulant blocks"
    source = "arXiv 2407.19342; PEFT"
    configuration = C3aConfiguration
    size_knob = "block_size"
    linear_only = True

    def resolved(self, configuration: C3aConfiguration, layers: Layers) -> C3aConfiguration:
        if configuration.block_size != "largest":
            return configuration
        return configuration.model_copy(update={"block_size": common_divisors(sides(layers))[-1]})

    def parameters(self, configuration: C3aConfiguration, layer: LinearLayer) -> int:
        return layer.size // int(configuration.block_size)

    def obstacle(self, configuration: C3aConfiguration, layer: LinearLayer) -> str | None:
        size = int(configuration.block_size)
        if layer.out_features % size or layer.in_features % size:
            return (
                f"block_size = {size} does not divide {layer.name} ({layer.out_features} × {layer.in_features}); "
                "allowed: a divisor of both sides of every target"
            )
        return None

    def sizes(self, configuration: C3aConfiguration, layers: Layers) -> list[int]:
        return common_divisors(sides(layers))[::-1]


METHODS = (C3a(),)
