"""RoAd: PEFT's tuner, with the settings that the count is of."""

from __future__ import annotations

from typing import Any

from peft import RoadConfig

from paretune_road.method import RoadConfiguration
from spaces.methods.base.layer_method import Layers
from trainables.tuners.peft_method import LayerAdapter


class Road(LayerAdapter[RoadConfiguration]):
    """PEFT's own tuner; it pairs outputs within groups, the smallest of two."""

    name = "road"
    config = RoadConfig

    def settings(self, configuration: RoadConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Return PEFT's settings for the chosen layers."""
        return {"variant": "road_1", "group_size": 2}


ADAPTERS = (Road(),)
