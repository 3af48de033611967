"""RoAd: its settings and its exact count. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class RoadConfiguration(PlacedConfiguration):
    """Neighbouring outputs of a layer are turned by an angle and scaled, by 0 and by 1 at the start."""

    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of angles and scales.")


class Road(LayerMethod[RoadConfiguration]):
    """Trains an angle and a scale for each pair of outputs. Its size is set by its place."""

    name = "road"
    summary = "pairs of outputs turned and scaled"
    source = "arXiv 2409.00119; PEFT"
    configuration = RoadConfiguration
    linear_only = True

    def parameters(self, configuration: RoadConfiguration, layer: LinearLayer) -> int:
        """Return the angles and scales of one layer."""
        return 2 * (layer.out_features // 2)

    def obstacle(self, configuration: RoadConfiguration, layer: LinearLayer) -> str | None:
        """Say why a layer cannot be adapted."""
        return f"{layer.name} has an odd number of outputs" if layer.out_features % 2 else None


METHODS = (Road(),)
