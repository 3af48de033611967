"""BOFT (arXiv 2311.06243): inputs turned by orthogonal blocks and rows scaled, from PEFT."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from spaces.methods._orthogonal import undivided
from spaces.methods.base.layer_method import LayerMethod, Layers, common_divisors
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class BoftConfiguration(PlacedConfiguration):
    """diag(s) W R, with s = 1 and R = 1 at the start; R is block-diagonal, each block a Cayley transform.

    With more than one butterfly factor PEFT compiles a CUDA kernel, and silently uses one where it cannot, so there
    is one here: blocks as OFT's, stored whole, and a trained length of each row of W.
    """

    learning_rate: float = Field(default=5e-3, gt=0, description="Peak learning rate of the blocks and of s.")
    block_size: PositiveInt = Field(default=4, description="Order of the blocks; divides the inputs of every target.")


class Boft(LayerMethod[BoftConfiguration]):
    """Trains n b + m parameters for a weight of m × n. The learning-rate prior is by analogy with LoRA's."""

    name = "boft"
    summary = "inputs turned by orthogonal blocks, rows scaled"
    source = "arXiv 2311.06243; PEFT"
    configuration = BoftConfiguration
    size_knob = "block_size"
    linear_only = True

    def parameters(self, configuration: BoftConfiguration, layer: LinearLayer) -> int:
        return layer.in_features * configuration.block_size + layer.out_features

    def obstacle(self, configuration: BoftConfiguration, layer: LinearLayer) -> str | None:
        return undivided(configuration.block_size, layer)

    def sizes(self, configuration: BoftConfiguration, layers: Layers) -> list[int]:
        return common_divisors(one.in_features for one in layers)


METHODS = (Boft(),)
