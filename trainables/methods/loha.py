"""LoHa (arXiv 2108.06098) and LoKr (arXiv 2309.14859), PEFT's own."""

from __future__ import annotations

from typing import Any

from peft import LoHaConfig, LoKrConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.loha import LohaConfiguration
from spaces.methods.lokr import LokrConfiguration
from trainables.tuners.peft_method import LayerAdapter


class Loha(LayerAdapter[LohaConfiguration]):
    """A Hadamard product."""

    name = "loha"
    config = LoHaConfig

    def settings(self, configuration: LohaConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """PEFT scales by alpha / r."""
        return {"r": configuration.rank, "alpha": configuration.scaling * configuration.rank}


class Lokr(LayerAdapter[LokrConfiguration]):
    """A Kronecker product."""

    name = "lokr"
    config = LoKrConfig

    def settings(self, configuration: LokrConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """PEFT scales by alpha / r; -1 asks it for the divisors next to the square roots."""
        return {
            "r": configuration.rank,
            "alpha": configuration.scaling * configuration.rank,
            "decompose_factor": -1 if configuration.factor == "square" else configuration.factor,
        }


ADAPTERS = (Loha(), Lokr())
