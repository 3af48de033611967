"""(IA)³ (arXiv 2205.05638), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import IA3Config

from spaces.methods.base.layer_method import Layers
from spaces.methods.ia3 import Ia3Configuration, scales_input
from trainables.tuners.peft_method import LayerAdapter, transposed


class Ia3(LayerAdapter[Ia3Configuration]):
    """A factor for each input or output feature."""

    name = "ia3"
    config = IA3Config

    def settings(self, configuration: Ia3Configuration, layers: Layers, seed: int) -> dict[str, Any]:
        """Name the layers whose inputs are scaled, which PEFT calls feedforward."""
        return {
            "feedforward_modules": [layer.name for layer in layers if scales_input(layer)],
            "fan_in_fan_out": transposed(layers),
        }


ADAPTERS = (Ia3(),)
