"""SHiRA (arXiv 2406.13175), PEFT's own."""

from __future__ import annotations

from typing import Any

from peft import ShiraConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.shira import ShiraConfiguration
from trainables.tuners.peft_method import LayerAdapter


class Shira(LayerAdapter[ShiraConfiguration]):
    """A fixed random subset."""

    name = "shira"
    config = ShiraConfig

    def settings(self, configuration: ShiraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """PEFT draws the entries on the CPU."""
        return {"r": configuration.rank, "mask_type": "random", "random_seed": seed}


ADAPTERS = (Shira(),)
