"""VeRA (arXiv 2310.11454) and RandLoRA (arXiv 2502.00987), PEFT's own."""

from __future__ import annotations

from typing import Any

from peft import RandLoraConfig, VeraConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.randlora import RandLoraConfiguration
from spaces.methods.vera import VeraConfiguration
from trainables.tuners.peft_method import LayerAdapter, transposed


class Vera(LayerAdapter[VeraConfiguration]):
    """PEFT draws the random matrices on the CPU, so that a seed gives the same ones on every device."""

    name = "vera"
    config = VeraConfig

    def settings(self, configuration: VeraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """The random matrices are rebuilt, not saved."""
        return {
            "r": configuration.rank,
            "vera_dropout": configuration.dropout,
            "projection_prng_key": seed,
            "save_projection": False,
            "fan_in_fan_out": transposed(layers),
        }


class RandLora(LayerAdapter[RandLoraConfiguration]):
    """PEFT draws the random bases on the CPU, so that a seed gives the same ones on every device."""

    name = "randlora"
    config = RandLoraConfig

    def settings(self, configuration: RandLoraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """The random bases are rebuilt, not saved."""
        return {
            "r": configuration.rank,
            "randlora_alpha": configuration.scaling * configuration.rank,
            "randlora_dropout": configuration.dropout,
            "projection_prng_key": seed,
            "save_projection": False,
            "fan_in_fan_out": transposed(layers),
        }


ADAPTERS = (Vera(), RandLora())
