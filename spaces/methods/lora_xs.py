"""LoRA-XS: a small square matrix between frozen singular vectors of each weight (arXiv 2405.17604)."""

from __future__ import annotations

import math

from pydantic import Field

from spaces.methods.base.method import Method, PlacedConfiguration, Unfit, layerwise, placed_layers
from spaces.model.budget import Count
from spaces.model.inventory import Inventory

FINGERPRINT = 4  # bytes by which one singular vector is recognised


class LoraXsConfiguration(PlacedConfiguration):
    """ΔW = scaling · B R A, with B = Uᵣ and A = Σᵣ Vᵣᵀ of W = U Σ Vᵀ frozen, and R of (rank, rank) trained.

    R = 0 at the start, where the paper draws from N(0, 10⁻¹⁰).
    """

    learning_rate: float = Field(default=4e-3, gt=0, description="Peak learning rate of R.")
    rank: int = Field(default=8, ge=1, description="Rank of the update; at most the smaller side of every weight.")
    scaling: float = Field(default=1.0, gt=0, description="α / rank.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")


class LoraXs(Method[LoraXsConfiguration]):
    """Trains r² parameters for a weight and ships them with a fingerprint of the singular vectors.

    The learning rate is the paper's for Mistral-7B and Gemma-7B on mathematics.
    """

    name = "lora-xs"
    summary = "r × r matrix between frozen singular vectors"
    source = "arXiv 2405.17604"
    configuration = LoraXsConfiguration
    size_knob = "rank"

    def count(self, configuration: LoraXsConfiguration, inventory: Inventory) -> Count:
        layers, rank = placed_layers(configuration, inventory), configuration.rank
        for one in layers:
            if rank > min(one.out_features, one.in_features):
                raise Unfit(
                    f"rank = {rank}: {one.name} is {one.out_features} × {one.in_features}; "
                    f"allowed: at most {min(one.out_features, one.in_features)}",
                    smallest=len(layers),
                )
        return layerwise(
            inventory, dict.fromkeys(layers, rank**2), adapter_bytes=len(layers) * (4 * rank**2 + FINGERPRINT * rank)
        )

    def fit(self, configuration: LoraXsConfiguration, inventory: Inventory, allowance: int) -> LoraXsConfiguration:
        layers = placed_layers(configuration, inventory)
        if allowance < len(layers):
            raise Unfit(f"lora-xs of rank 1 trains {len(layers):,} parameters here", smallest=len(layers))
        largest = min(min(one.out_features, one.in_features) for one in layers)
        return configuration.model_copy(update={"rank": min(math.isqrt(allowance // len(layers)), largest)})


METHODS = (LoraXs(),)
