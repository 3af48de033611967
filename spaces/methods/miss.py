"""MiSS (arXiv 2409.15371): one small matrix that all shards of the input share, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class MissConfiguration(PlacedConfiguration):
    """W x + D Σⱼ xⱼ: x is cut into shards of `rank` features, and D of shape (out, rank) is 0 at the start."""

    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of D.")
    rank: int = Field(default=16, ge=1, description="Features of a shard; at most the inputs of every target.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")


class Miss(LayerMethod[MissConfiguration]):
    """Trains r m parameters for a weight of m × n. The learning-rate prior is by analogy with LoRA's."""

    name = "miss"
    summary = "one matrix shared by all shards of the input"
    source = "arXiv 2409.15371; PEFT"
    configuration = MissConfiguration
    size_knob = "rank"
    linear_only = True

    def parameters(self, configuration: MissConfiguration, layer: LinearLayer) -> int:
        return configuration.rank * layer.out_features

    def sizes(self, configuration: MissConfiguration, layers: Layers) -> range:
        return range(1, min(one.in_features for one in layers) + 1)


METHODS = (Miss(),)
