"""AdaLoRA (arXiv 2303.10512): a low-rank update whose rank moves to important weights while training, from PEFT."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from spaces.methods.base.layer_method import LayerMethod, Layers, ranks
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class AdaLoraConfiguration(PlacedConfiguration):
    """W + scaling · P Λ Q with Λ = 0 at the start; of all triplets, the least important are set to 0 while training.

    The number of triplets falls by a cubic schedule from `rank` for each weight to an average of `kept` · `rank`,
    between `start` and `end` of training (the paper's SST-2: 0.11 and 0.58). Dropped triplets are shipped as zeros, so
    the size of the adapter is known before it is trained.
    """

    learning_rate: float = Field(default=2e-2, gt=0, description="Peak learning rate of P, Λ and Q.")
    rank: int = Field(default=12, ge=1, description="Rank of the update at the start.")
    scaling: float = Field(default=2.0, gt=0, description="α / rank.")
    kept: float = Field(default=2 / 3, gt=0, le=1, description="Part of the triplets that is left at the end.")
    start: float = Field(default=0.1, ge=0, lt=1, description="Part of training before the first triplet is dropped.")
    end: float = Field(default=0.6, gt=0, le=1, description="Part of training after which no triplet is dropped.")
    orthogonality: float = Field(default=0.1, ge=0, description="Weight of the penalty that keeps P and Q orthogonal.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start = {self.start} is not before end = {self.end}")
        return self


class AdaLora(LayerMethod[AdaLoraConfiguration]):
    """Trains r (m + n + 1) parameters for a weight of m × n: those that the optimizer holds at the start.

    The learning-rate prior is by analogy with LoRA's.
    """

    name = "adalora"
    summary = "low-rank update, rank moved to important weights while training"
    source = "arXiv 2303.10512; PEFT"
    configuration = AdaLoraConfiguration
    size_knob = "rank"

    def parameters(self, configuration: AdaLoraConfiguration, layer: LinearLayer) -> int:
        return configuration.rank * (layer.out_features + layer.in_features + 1)

    def sizes(self, configuration: AdaLoraConfiguration, layers: Layers) -> range:
        return ranks(layers)


METHODS = (AdaLora(),)
