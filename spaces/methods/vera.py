"""VeRA (arXiv 2310.11454): trained vectors around random matrices that all weights share, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class VeraConfiguration(PlacedConfiguration):
    """W + diag(b) B diag(d) A, with B and A random and shared by all weights, b = 0 and d = 0.1 at the start.

    The training's seed draws B and A; they are not shipped, the seed rebuilds them.
    """

    learning_rate: float = Field(default=3e-2, gt=0, description="Peak learning rate of b and d.")
    rank: int = Field(default=256, ge=1, description="Rows of A and columns of B.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")


class Vera(LayerMethod[VeraConfiguration]):
    """Trains m + r parameters for a weight of m × n. The learning-rate prior is by analogy with LoRA's."""

    name = "vera"
    summary = "scaling vectors around shared random matrices"
    source = "arXiv 2310.11454; PEFT"
    configuration = VeraConfiguration
    size_knob = "rank"

    def parameters(self, configuration: VeraConfiguration, layer: LinearLayer) -> int:
        return configuration.rank + layer.out_features

    def largest_rank(self, configuration: VeraConfiguration, layers: Layers) -> None:
        """Return None: d may be longer than a side of the weight."""

    def sizes(self, configuration: VeraConfiguration, layers: Layers) -> range:
        """Return the ranks up to the largest side, beyond which the random matrices span nothing new."""
        return range(1, max(max(one.out_features, one.in_features) for one in layers) + 1)


METHODS = (Vera(),)
