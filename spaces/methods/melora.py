"""MELoRA: an ensemble of small low-rank updates on the diagonal of each weight (arXiv 2402.17263)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from spaces.methods.base.knobs import Choice
from spaces.methods.base.method import Method, PlacedConfiguration, Unfit, layerwise, placed_layers
from spaces.model.budget import Count
from spaces.model.inventory import Inventory, LinearLayer


class MeLoraConfiguration(PlacedConfiguration):
    """ΔW = scaling · blockdiag(B₁A₁ … BₖAₖ), with Aᵢ of (rank, in / k) and Bᵢ of (out / k, rank), Bᵢ = 0 at the start.

    The k groups split input and output features evenly; the rank of ΔW is up to k · rank.
    """

    learning_rate: float = Field(default=2e-3, gt=0, description="Peak learning rate of A and B.")
    rank: int = Field(default=8, ge=1, description="Rank of each group's update.")
    groups: int = Field(default=2, ge=1, description="Number of groups; divides both sides of every weight.")
    scaling: float = Field(default=2.0, gt=0, description="α / rank.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")


class MeLora(Method[MeLoraConfiguration]):
    """Trains r (m + n) parameters for a weight of m × n, whatever the number of groups.

    The learning rate is that of `lora`: the paper trains both with the same.
    """

    name = "melora"
    summary = "block-diagonal ensemble of low-rank updates"
    source = "arXiv 2402.17263"
    configuration = MeLoraConfiguration
    size_knob = "rank"
    knobs = {"groups": Choice((2, 4, 8))}  # noqa: RUF012

    def count(self, configuration: MeLoraConfiguration, inventory: Inventory) -> Count:
        layers = _divided_layers(configuration, inventory)
        if configuration.rank > (largest := _largest_rank(layers, configuration.groups)):
            raise Unfit(
                f"rank = {configuration.rank}: above the smallest group; allowed: at most {largest}",
                smallest=_per_rank(layers),
            )
        trainable = {one: configuration.rank * (one.out_features + one.in_features) for one in layers}
        return layerwise(inventory, trainable, adapter_bytes=4 * sum(trainable.values()))

    def fit(self, configuration: MeLoraConfiguration, inventory: Inventory, allowance: int) -> MeLoraConfiguration:
        layers = _divided_layers(configuration, inventory)
        per_rank = _per_rank(layers)
        if allowance < per_rank:
            raise Unfit(f"melora of rank 1 trains {per_rank:,} parameters here", smallest=per_rank)
        rank = min(allowance // per_rank, _largest_rank(layers, configuration.groups))
        return configuration.model_copy(update={"rank": rank})


def _divided_layers(configuration: MeLoraConfiguration, inventory: Inventory) -> Sequence[LinearLayer]:
    layers, groups = placed_layers(configuration, inventory), configuration.groups
    for one in layers:
        if one.out_features % groups or one.in_features % groups:
            raise Unfit(
                f"groups = {groups}: does not divide {one.name} of {one.out_features} × {one.in_features}", smallest=0
            )
    return layers


def _per_rank(layers: Sequence[LinearLayer]) -> int:
    return sum(one.out_features + one.in_features for one in layers)


def _largest_rank(layers: Sequence[LinearLayer], groups: int) -> int:
    return min(min(one.out_features, one.in_features) for one in layers) // groups


METHODS = (MeLora(),)
