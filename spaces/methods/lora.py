"""LoRA (arXiv 2106.09685), its variants and its initial values: a low-rank update beside each weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from spaces.methods.base.layer_method import LayerMethod, Layers, ranks
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.budget import Count
from spaces.model.inventory import KINDS, Inventory, LinearLayer
from spaces.model.places import from_text


class RankByKind(BaseModel):
    """A rank for the layers of attention and another one for those of the feed-forward network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attention: PositiveInt
    mlp: PositiveInt


class LoraConfiguration(PlacedConfiguration):
    """W + scaling · B A, with A of shape (rank, in) and B of shape (out, rank), B = 0 at the start.

    Plain LoRA is the baseline of comparisons, so a search varies neither `variant` nor `plus_ratio` nor `init` unless
    its spec names them.
    """

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of A and B.")
    rank: Annotated[Annotated[int, Field(ge=1)] | RankByKind, BeforeValidator(from_text)] = Field(
        default=8,
        description="Rank of the update; or {attention: 8, mlp: 4}, a rank for each kind of layer, as in PEFT's "
        "rank_pattern.",
    )
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
    init: Literal["default", "pissa", "olora", "orthogonal"] = Field(
        default="default",
        description="First values of A and B. default: B = 0; orthogonal: both are drawn, and B A = 0; pissa "
        "(arXiv 2404.02948): the largest singular vectors of the weight; olora (arXiv 2406.01775): the first ones of "
        "its QR decomposition. The last two subtract the first product again, so that twice as many numbers are "
        "stored.",
    )

    @model_validator(mode="after")
    def _combine(self) -> LoraConfiguration:
        if self.decomposed and self.variant == "dora":
            raise ValueError(f"init = {self.init}: not with variant = dora; allowed: default, orthogonal")
        return self

    @property
    def decomposed(self) -> bool:
        """True if the first product is a part of the weight."""
        return self.init in {"pissa", "olora"}

    def rank_of(self, layer: LinearLayer) -> int:
        """Return the rank of a layer's update; 0 for a layer of unknown kind where ranks are given by kind."""
        if not isinstance(self.rank, RankByKind):
            return self.rank
        attention, mlp = (layer.kind in KINDS[kind] for kind in ("attention", "mlp"))
        return self.rank.attention if attention else self.rank.mlp if mlp else 0


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
        return configuration.rank_of(layer) * (layer.out_features + layer.in_features) + lengths

    def sizes(self, configuration: LoraConfiguration, layers: Layers) -> range:
        possible = ranks(layers)
        return possible[1::2] if configuration.init == "orthogonal" else possible

    def largest_rank(self, configuration: LoraConfiguration, layers: Layers) -> int | None:
        """Return the smallest side of all `layers`; None where the ranks differ, each of which `obstacle` compares."""
        return None if isinstance(configuration.rank, RankByKind) else ranks(layers)[-1]

    def obstacle(self, configuration: LoraConfiguration, layer: LinearLayer) -> str | None:
        rank, side = configuration.rank_of(layer), min(layer.out_features, layer.in_features)
        if not rank:
            return f"rank = {configuration.rank}: {layer.name} is of neither kind; allowed: one rank for all"
        if rank > side:
            return f"rank = {rank}: more than {layer.name} takes; allowed: at most {side}"
        if configuration.init == "orthogonal" and rank % 2:
            return f"rank = {rank}: init = orthogonal halves it; allowed: even ranks"
        return None

    def count(self, configuration: LoraConfiguration, inventory: Inventory) -> Count:
        count = super().count(configuration, inventory)
        if not configuration.decomposed:
            return count
        stored = 2 * count.trainable_parameters  # the first values of A and B too
        return replace(count, stored_parameters=stored, adapter_bytes=self.bytes_each * stored)


METHODS = (Lora(),)
