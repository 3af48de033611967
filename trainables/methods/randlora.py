"""RandLoRA (arXiv 2502.00987), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import RandLoraConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.randlora import RandLoraConfiguration
from trainables.tuners.peft_method import LayerAdapter, transposed


class RandLora(LayerAdapter[RandLoraConfiguration]):
    """A trained combination of random bases.

    PEFT draws the bases on the CPU, so that a seed gives the same ones on every device.
    """

    name = "randlora"
    config = RandLoraConfig

    def settings(self, configuration: RandLoraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Have the random bases rebuilt from the seed, and not saved."""
        return {
            "r": configuration.rank,
            "randlora_alpha": configuration.scaling * configuration.rank,
            "randlora_dropout": configuration.dropout,
            "projection_prng_key": seed,
            "save_projection": False,
            "fan_in_fan_out": transposed(layers),
        }


ADAPTERS = (RandLora(),)
