"""SURM: structured updates of unrestricted rank (arXiv 2406.17740). So far: circulant."""

from __future__ import annotations

from pydantic import Field

from spaces.count import Count
from spaces.inventory import Inventory, LinearLayer, Targets
from spaces.methods.base import Method, PlacedConfiguration, Unfit, layerwise, placed_layers


class CirculantConfiguration(PlacedConfiguration):
    """ΔW = α · C(r₁ ⊙ r₂): the Hadamard product of two circulants, with r₁ = 0 and r₂ ~ N(0, 1) at the start.

    For a weight of m × n the circulant has order N = max(m, n) and ΔW is its upper left m × n part.
    """

    learning_rate: float = Field(default=4e-3, gt=0, description="Peak learning rate of r₁ and r₂.")
    targets: Targets = Field(default="qkv", description="Kinds of linear layers to adapt (the paper's: qkv).")
    alpha: float = Field(default=1.0, gt=0, description="Scale of the update.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")


def order(layer: LinearLayer) -> int:
    """Order of the enclosing circulant."""
    return max(layer.out_features, layer.in_features)


class Circulant(Method[CirculantConfiguration]):
    """Trains 2N parameters for a weight of m × n, N = max(m, n), and ships N. Its size is set by its place."""

    name = "surm-circulant"
    summary = "product of two circulants, full rank"
    source = "arXiv 2406.17740"
    usual = True
    configuration = CirculantConfiguration

    def count(self, configuration: CirculantConfiguration, inventory: Inventory) -> Count:
        trainable = {one: 2 * order(one) for one in placed_layers(configuration, inventory)}
        stored = sum(trainable.values()) // 2
        return layerwise(inventory, trainable, stored=stored, adapter_bytes=4 * stored)

    def fit(
        self, configuration: CirculantConfiguration, inventory: Inventory, allowance: int
    ) -> CirculantConfiguration:
        """Keep as many of the last blocks as the allowance pays for; a single weight where not even one fits."""
        if self.count(configuration, inventory).trainable_parameters <= allowance:
            return configuration
        blocks = sorted({one.block for one in placed_layers(configuration, inventory)}, reverse=True)
        fitted = None
        for kept in range(1, len(blocks)):
            trial = configuration.model_copy(update={"layers": inventory.blocks - blocks[kept - 1]})
            if self.count(trial, inventory).trainable_parameters > allowance:
                break
            fitted = trial
        if fitted is not None:
            return fitted
        single = configuration.model_copy(update={"layers": "one"})
        smallest = self.count(single, inventory).trainable_parameters
        if smallest > allowance:
            raise Unfit(f"the smallest circulant here trains {smallest:,} parameters", smallest=smallest)
        return single


METHODS = (Circulant(),)
