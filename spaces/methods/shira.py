"""SHiRA (arXiv 2406.13175): a fixed random subset of each weight's entries, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class ShiraConfiguration(PlacedConfiguration):
    """rank · (m + n) entries of a weight of m × n, as many as LoRA trains; the training's seed draws them."""

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the deltas.")
    rank: int = Field(default=8, ge=1, description="Entries of a weight over the sum of its sides.")


class Shira(LayerMethod[ShiraConfiguration]):
    """Trains r (m + n) entries; ships them with two int32 indices each.

    The learning-rate prior is SpaRTA's, which trains the same.
    """

    name = "shira"
    summary = "fixed random entries of each weight, as many as LoRA's"
    source = "arXiv 2406.13175; PEFT"
    configuration = ShiraConfiguration
    size_knob = "rank"
    linear_only = True
    bytes_each = 12

    def parameters(self, configuration: ShiraConfiguration, layer: LinearLayer) -> int:
        return configuration.rank * (layer.out_features + layer.in_features)

    def sizes(self, configuration: ShiraConfiguration, layers: Layers) -> range:
        return range(1, min(one.size // (one.out_features + one.in_features) for one in layers) + 1)


METHODS = (Shira(),)
