"""VeRA (arXiv 2310.11454), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import VeraConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.vera import VeraConfiguration
from trainables.tuners.peft_method import LayerAdapter, transposed


class Vera(LayerAdapter[VeraConfiguration]):
    """Trained vectors around two random matrices.

    PEFT draws the matrices on the CPU, so that a seed gives the same ones on every device.
    """

    name = "vera"
    config = VeraConfig

    def settings(self, configuration: VeraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Have the random matrices rebuilt from the seed, and not saved."""
        return {
            "r": configuration.rank,
            "vera_dropout": configuration.dropout,
            "projection_prng_key": seed,
            "save_projection": False,
            "fan_in_fan_out": transposed(layers),
        }


ADAPTERS = (Vera(),)
