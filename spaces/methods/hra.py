"""HRA (arXiv 2405.17484): inputs turned by a chain of Householder reflections, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


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


METHODS = (Hra(),)
