"""SHiRA (arXiv 2406.13175), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import ShiraConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.shira import ShiraConfiguration
from trainables.tuners.peft_method import LayerAdapter


class Shira(LayerAdapter[ShiraConfiguration]):
    """A fixed random subset of the entries of a weight."""

    name = "shira"
    config = ShiraConfig

    def settings(self, configuration: ShiraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Pass the training's seed, from which PEFT draws the entries on the CPU."""
        return {"r": configuration.rank, "mask_type": "random", "random_seed": seed}


ADAPTERS = (Shira(),)
