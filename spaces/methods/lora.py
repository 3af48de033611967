"""LoRA (arXiv 2106.09685) and its variants: a low-rank update beside each weight, from PEFT."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers, ranks
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class LoraConfiguration(PlacedConfiguration):
    """W + scaling · B A, with A of shape (rank, in) and B of shape (out, rank), B = 0 at the start.

    Plain LoRA is the baseline of comparisons, so a search varies neither `variant` nor `plus_ratio` unless its spec
    names them.
    """

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of A and B.")
    rank: int = Field(default=8, ge=1, description="Rank of the update.")
    scaling: float = Field(default=2.0, gt=0, description="α / rank.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")
    variant: Literal["lora", "rslora", "dora"] = Field(
        default="lora",
        description="lora; rslora: the product is scaled by α / √rank (arXiv 2312.03732); dora: each row of the sum "
        "has a trained length (arXiv 2402.09353).",
    )
    plus_ratio: float = Field(
        default=1.0, gt=0, description="Learning rate of B over that of A; LoRA+ (arXiv 2402.12354) recommends 16."
    )


class Lora(LayerMethod[LoraConfiguration]):
    """Trains r (m + n) parameters for a weight of m × n, and m more as DoRA."""

    name = "lora"
    summary = "low-rank update, rank r"
    source = "arXiv 2106.09685; PEFT"
    usual = True
    configuration = LoraConfiguration
    size_knob = "rank"

    def parameters(self, configuration: LoraConfiguration, layer: LinearLayer) -> int:
        lengths = layer.out_features if configuration.variant == "dora" else 0
        return configuration.rank * (layer.out_features + layer.in_features) + lengths

    def sizes(self, configuration: LoraConfiguration, layers: Layers) -> range:
        return ranks(layers)


METHODS = (Lora(),)
