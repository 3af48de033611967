"""RandLoRA (arXiv 2502.00987): a full-rank sum of scaled random bases that all weights share, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class RandLoraConfiguration(PlacedConfiguration):
    """W + scaling · Σᵢ Bᵢ Λᵢ Aᵢ Γᵢ of full rank: N = ⌈min(m, n) / rank⌉ random bases of `rank`, Λ = 0 at the start.

    The bases are shared by all weights and drawn by the training's seed; they are not shipped, the seed rebuilds them.
    A smaller rank trains more.
    """

    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of Λ and Γ.")
    rank: int = Field(default=32, ge=1, description="Rank of each basis; the smaller, the more parameters.")
    scaling: float = Field(default=20.0, gt=0, description="α / rank (PEFT recommends 20).")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")


class RandLora(LayerMethod[RandLoraConfiguration]):
    """Trains N (rank + min(m, n)) parameters for a weight of m × n.

    The learning-rate prior is by analogy with LoRA's.
    """

    name = "randlora"
    summary = "full-rank sum of scaled random bases"
    source = "arXiv 2502.00987; PEFT"
    configuration = RandLoraConfiguration
    size_knob = "rank"

    def parameters(self, configuration: RandLoraConfiguration, layer: LinearLayer) -> int:
        side = min(layer.out_features, layer.in_features)
        return -(-side // configuration.rank) * (configuration.rank + side)

    def sizes(self, configuration: RandLoraConfiguration, layers: Layers) -> list[int]:
        """Return the smallest of the ranks with the same numbers of bases, which trains fewest parameters."""
        sides = {min(one.out_features, one.in_features) for one in layers}
        least: dict[tuple[int, ...], int] = {}
        for rank in range(max(sides), 0, -1):
            least[tuple(-(-side // rank) for side in sorted(sides))] = rank
        return self.increasing(configuration, least.values(), layers)


METHODS = (RandLora(),)
