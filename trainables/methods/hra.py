"""HRA (arXiv 2405.17484), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import HRAConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.hra import HraConfiguration
from spaces.model.inventory import Inventory
from spaces.spec.sections import Quantization
from trainables.tuners.peft_method import LayerAdapter


class Hra(LayerAdapter[HraConfiguration]):
    """A chain of Householder reflections; `attach` seeds their vectors, which start as equal pairs."""

    name = "hra"
    config = HRAConfig

    def refusal(self, quantization: Quantization, inventory: Inventory) -> str | None:
        """Return the reason."""
        return "PEFT multiplies the stored integers without their scales (hra/layer.py, HRALinear.forward)"

    def settings(self, configuration: HraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Leave out PEFT's orthogonalisation, which would turn an equal pair into one reflection."""
        return {"r": configuration.rank, "apply_GS": False}


ADAPTERS = (Hra(),)
