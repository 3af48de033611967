"""OFT (arXiv 2306.07280), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import OFTConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.oft import OftConfiguration
from trainables.tuners.peft_method import LayerAdapter


class Oft(LayerAdapter[OftConfiguration]):
    """Orthogonal blocks that multiply the weight."""

    name = "oft"
    config = OFTConfig

    def settings(self, configuration: OftConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Ask for the exact Cayley transform: PEFT's truncated series is not orthogonal far from the start."""
        return {"r": 0, "oft_block_size": configuration.block_size, "use_cayley_neumann": False}


ADAPTERS = (Oft(),)
