"""LoHa (arXiv 2108.06098), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import LoHaConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.loha import LohaConfiguration
from spaces.model.inventory import Inventory
from spaces.spec.sections import Quantization
from trainables.tuners.peft_method import LayerAdapter


class Loha(LayerAdapter[LohaConfiguration]):
    """A Hadamard product of two low-rank matrices."""

    name = "loha"
    config = LoHaConfig

    def refusal(self, quantization: Quantization, inventory: Inventory) -> str | None:
        """Return the reason."""
        return (
            "PEFT gives its update the shape of the packed weight (loha/layer.py, get_delta_weight)"
            if quantization == "nf4"
            else None
        )

    def settings(self, configuration: LohaConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Turn the scaling into alpha: PEFT scales by alpha / r."""
        return {"r": configuration.rank, "alpha": configuration.scaling * configuration.rank}


ADAPTERS = (Loha(),)
