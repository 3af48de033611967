"""C3A (arXiv 2407.19342), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import C3AConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.c3a import C3a as C3aMethod
from spaces.methods.c3a import C3aConfiguration
from spaces.model.inventory import Inventory
from spaces.spec.sections import Quantization
from trainables.tuners.peft_method import LayerAdapter


class C3a(LayerAdapter[C3aConfiguration]):
    """Blocks that are circulants."""

    name = "c3a"
    config = C3AConfig

    def refusal(self, quantization: Quantization, inventory: Inventory) -> str | None:
        """Return the reason."""
        biased = any(one.role == "bias" and one.block is not None for one in inventory.parameters)
        return (
            "PEFT adds to the output in place (c3a/layer.py, C3ALinear.forward), and that of bitsandbytes with a bias "
            "is a view"
            if biased
            else None
        )

    def settings(self, configuration: C3aConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Resolve the order of the blocks; PEFT's `init_weights` starts them at 0."""
        return {"block_size": C3aMethod().resolved(configuration, layers).block_size, "init_weights": True}


ADAPTERS = (C3a(),)
