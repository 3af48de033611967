"""BOFT (arXiv 2311.06243), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import BOFTConfig
from peft.tuners.boft import layer as boft

from spaces.methods.base.layer_method import Layers
from spaces.methods.boft import BoftConfiguration
from trainables.tuners.peft_method import LayerAdapter

# With one butterfly factor the CUDA kernel saves nothing, and PEFT would try to compile it at every layer.
boft._FBD_CUDA = False


class Boft(LayerAdapter[BoftConfiguration]):
    """Orthogonal blocks, and a length for each output."""

    name = "boft"
    config = BOFTConfig

    def settings(self, configuration: BoftConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Give the order of the blocks: PEFT takes either their order or their number."""
        return {"boft_block_size": configuration.block_size, "boft_block_num": 0, "boft_n_butterfly_factor": 1}


ADAPTERS = (Boft(),)
