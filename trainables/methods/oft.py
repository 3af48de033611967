"""OFT (arXiv 2306.07280), BOFT (arXiv 2311.06243) and HRA (arXiv 2405.17484), PEFT's own."""

from __future__ import annotations

from typing import Any

from peft import BOFTConfig, HRAConfig, OFTConfig
from peft.tuners.boft import layer as boft

from spaces.methods.base.layer_method import Layers
from spaces.methods.boft import BoftConfiguration
from spaces.methods.hra import HraConfiguration
from spaces.methods.oft import OftConfiguration
from trainables.tuners.peft_method import LayerAdapter

# With one butterfly factor the CUDA kernel saves nothing, and PEFT would try to compile it at every layer.
boft._FBD_CUDA = False


class Oft(LayerAdapter[OftConfiguration]):
    """Orthogonal blocks."""

    name = "oft"
    config = OFTConfig

    def settings(self, configuration: OftConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """The exact Cayley transform: PEFT's truncated series is not orthogonal far from the start."""
        return {"r": 0, "oft_block_size": configuration.block_size, "use_cayley_neumann": False}


class Boft(LayerAdapter[BoftConfiguration]):
    """Orthogonal blocks and lengths."""

    name = "boft"
    config = BOFTConfig

    def settings(self, configuration: BoftConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """PEFT takes either the order of the blocks or their number."""
        return {"boft_block_size": configuration.block_size, "boft_block_num": 0, "boft_n_butterfly_factor": 1}


class Hra(LayerAdapter[HraConfiguration]):
    """A chain of reflections; `attach` seeds the pairs."""

    name = "hra"
    config = HRAConfig

    def settings(self, configuration: HraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Without PEFT's orthogonalisation, under which equal pairs would be one reflection."""
        return {"r": configuration.rank, "apply_GS": False}


ADAPTERS = (Oft(), Boft(), Hra())
