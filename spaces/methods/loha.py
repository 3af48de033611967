"""LoHa (arXiv 2108.06098): the Hadamard product of two low-rank updates, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers, ranks
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class LohaConfiguration(PlacedConfiguration):
    """W + scaling · (A₁ B₁) ⊙ (A₂ B₂), with B₂ = 0 at the start: of rank up to rank²."""

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the four matrices.")
    rank: int = Field(default=8, ge=1, description="Rank of each product.")
    scaling: float = Field(default=2.0, gt=0, description="α / rank.")


class Loha(LayerMethod[LohaConfiguration]):
    """Trains 2r (m + n) parameters for a weight of m × n. The learning-rate prior is by analogy with LoRA's."""

    name = "loha"
    summary = "Hadamard product of two low-rank updates"
    source = "arXiv 2108.06098; PEFT"
    configuration = LohaConfiguration
    size_knob = "rank"
    linear_only = True

    def parameters(self, configuration: LohaConfiguration, layer: LinearLayer) -> int:
        return 2 * configuration.rank * (layer.out_features + layer.in_features)

    def sizes(self, configuration: LohaConfiguration, layers: Layers) -> range:
        return ranks(layers)


METHODS = (Loha(),)
