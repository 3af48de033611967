"""LoRTA: one tensor decomposition for the updates of all weights (arXiv 2410.04060)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from pydantic import Field

from spaces.methods.base.knobs import Choice
from spaces.methods.base.method import Method, PlacedConfiguration, Unfit, layerwise, placed_layers
from spaces.model.budget import Count
from spaces.model.inventory import Inventory, LinearLayer, TargetChoice


class LortaConfiguration(PlacedConfiguration):
    """ΔW of the kind j in block l is scaling · A diag(C_head ⊙ C_kind ⊙ C_block) B, side by side for every head.

    A of (out, rank), B of (rank, in / heads), C_head of (heads, rank), C_kind and C_block of (rank,) for every kind and
    block; B = 0 at the start. The heads split the input features, as in the published code; the paper splits the output
    of query, key and value. All factors are shared between layers; weights of different shapes, which the paper does
    not adapt, share the factors that fit both.
    """

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of all factors.")
    targets: TargetChoice = Field(
        default="attention",
        description="Kinds of linear layers to adapt (paper: attention); or {names: [NAME, …]} or {regex: PATTERN}, "
        "as PEFT's target_modules.",
    )
    rank: int = Field(default=8, ge=1, description="Number of terms; at most the smaller side of every weight.")
    heads: int = Field(default=4, ge=1, description="Equal parts of the input features; divides them in every weight.")
    scaling: float = Field(default=1.0, gt=0, description="α / rank.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")


def factors(layer: LinearLayer, heads: int) -> Iterator[tuple[Hashable, int]]:
    """Yield the factors of a layer with their sizes per rank; equal keys are one factor."""
    yield ("A", layer.out_features), layer.out_features
    yield ("B", layer.in_features), layer.in_features // heads
    yield "heads", heads
    yield ("kind", layer.kind), 1
    yield ("block", layer.block), 1


class Lorta(Method[LortaConfiguration]):
    """Trains r (d + d / H + H + kinds + blocks) parameters for weights of d × d in H heads.

    A shared factor counts at the first layer that has it. The learning rate is the published one for most of GLUE.
    """

    name = "lorta"
    summary = "one tensor decomposition shared by all weights"
    source = "arXiv 2410.04060"
    configuration = LortaConfiguration
    size_knob = "rank"
    knobs = {"heads": Choice((1, 4, 16))}  # noqa: RUF012

    def count(self, configuration: LortaConfiguration, inventory: Inventory) -> Count:
        per_rank = _per_rank(configuration, inventory)
        if configuration.rank > (largest := _largest(per_rank)):
            raise Unfit(
                f"rank = {configuration.rank}: above the smallest weight; allowed: at most {largest}",
                smallest=sum(per_rank.values()),
            )
        trainable = {one: configuration.rank * size for one, size in per_rank.items()}
        return layerwise(inventory, trainable, adapter_bytes=4 * sum(trainable.values()))

    def fit(self, configuration: LortaConfiguration, inventory: Inventory, allowance: int) -> LortaConfiguration:
        per_rank = _per_rank(configuration, inventory)
        smallest = sum(per_rank.values())
        if allowance < smallest:
            raise Unfit(f"lorta of rank 1 trains {smallest:,} parameters here", smallest=smallest)
        return configuration.model_copy(update={"rank": min(allowance // smallest, _largest(per_rank))})


def _per_rank(configuration: LortaConfiguration, inventory: Inventory) -> dict[LinearLayer, int]:
    """Return the parameters per rank of each layer, with each factor at its first layer."""
    seen: set[Hashable] = set()
    sizes: dict[LinearLayer, int] = {}
    for layer in placed_layers(configuration, inventory):
        if layer.in_features % configuration.heads:
            raise Unfit(
                f"heads = {configuration.heads}: does not divide the input features of {layer.name} "
                f"of {layer.out_features} × {layer.in_features}",
                smallest=0,
            )
        own = dict(factors(layer, configuration.heads))
        sizes[layer] = sum(size for key, size in own.items() if key not in seen)
        seen |= own.keys()
    return sizes


def _largest(layers: dict[LinearLayer, int]) -> int:
    return min(min(one.out_features, one.in_features) for one in layers)


METHODS = (Lorta(),)
