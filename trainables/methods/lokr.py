"""LoKr (arXiv 2309.14859), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import LoKrConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.lokr import LokrConfiguration
from spaces.model.inventory import Inventory
from spaces.spec.sections import Quantization
from trainables.tuners.peft_method import LayerAdapter


class Lokr(LayerAdapter[LokrConfiguration]):
    """A Kronecker product, one factor of which has low rank."""

    name = "lokr"
    config = LoKrConfig

    def refusal(self, quantization: Quantization, inventory: Inventory) -> str | None:
        """Return the reason."""
        return (
            "PEFT gives its update the shape of the packed weight (lokr/layer.py, get_delta_weight)"
            if quantization == "nf4"
            else None
        )

    def settings(self, configuration: LokrConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Turn the scaling into alpha: PEFT scales by alpha / r. A factor of -1 asks it for nearly square divisors."""
        return {
            "r": configuration.rank,
            "alpha": configuration.scaling * configuration.rank,
            "decompose_factor": -1 if configuration.factor == "square" else configuration.factor,
        }


ADAPTERS = (Lokr(),)
