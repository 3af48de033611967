"""Dynamic Subset Tuning: a subset of entries that is reselected while training (arXiv 2411.08610)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from spaces.count import Count
from spaces.inventory import Inventory, LinearLayer, Targets
from spaces.knobs import Choice
from spaces.methods.base import Method, PlacedConfiguration, Unfit, layerwise, placed_layers
from spaces.methods.sparta import VALUE_AND_INDEX_BYTES, density_for, entries_at


class DstConfiguration(PlacedConfiguration):
    """In every weight S at most ⌊density · |S|⌋ entries differ from the pretrained values after each projection."""

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the deltas.")
    targets: Targets = Field(default="all", description="Kinds of linear layers to adapt.")
    density: float = Field(default=0.005, gt=0, le=1, description="Part of each weight's entries that may differ.")
    reselection_interval: int = Field(default=1, ge=1, description="Steps between projections (the paper's: 1).")
    reselection_end: float = Field(
        default=1.0, gt=0, le=1, description="Part of training after which the subset stays (the paper's: 1)."
    )


class Dst(Method[DstConfiguration]):
    """Keeps, in every weight, the entries that moved farthest from the pretrained values."""

    name = "dst"
    summary = "reselected subset of weight entries, any density"
    source = "arXiv 2411.08610"
    configuration = DstConfiguration
    size_knob = "density"
    knobs = {  # noqa: RUF012
        "reselection_interval": Choice((1, 5, 25)),
        "reselection_end": Choice((0.1, 0.25, 0.5, 1.0)),
    }

    def count(self, configuration: DstConfiguration, inventory: Inventory) -> Count:
        layers = placed_layers(configuration, inventory)
        trainable = {one: entries_at(configuration.density, one.size) for one in layers}
        for one, entries in trainable.items():
            if entries < 1:
                raise Unfit(
                    f"density = {configuration.density} of {one.name} ({one.size:,} entries) trains nothing",
                    smallest=_total(_least_density(layers), layers),
                )
        return layerwise(
            inventory,
            trainable,
            adapter_bytes=VALUE_AND_INDEX_BYTES * sum(trainable.values()),
            peak_updated=sum(one.size for one in layers),
        )

    def fit(self, configuration: DstConfiguration, inventory: Inventory, allowance: int) -> DstConfiguration:
        layers = placed_layers(configuration, inventory)
        least = _least_density(layers)
        smallest = _total(least, layers)
        if allowance < smallest:
            raise Unfit(f"dst of one entry in the smallest weight trains {smallest:,} parameters here", smallest)
        size = sum(one.size for one in layers)
        return configuration.model_copy(update={"density": max(least, density_for(min(allowance, size), size))})


def _least_density(layers: Sequence[LinearLayer]) -> float:
    """The density at which the smallest weight has one entry."""
    return density_for(1, min(one.size for one in layers))


def _total(density: float, layers: Sequence[LinearLayer]) -> int:
    return sum(entries_at(density, one.size) for one in layers)


METHODS = (Dst(),)
