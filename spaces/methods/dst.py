"""Dynamic Subset Tuning: a subset of entries that is reselected while training (arXiv 2411.08610)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import accumulate, pairwise
from typing import Literal

from pydantic import Field

from spaces.methods.base.knobs import Choice
from spaces.methods.base.method import Method, PlacedConfiguration, Unfit, layerwise, placed_layers
from spaces.methods.sparta import VALUE_AND_INDEX_BYTES, density_for, entries_at
from spaces.model.budget import Count
from spaces.model.inventory import Inventory, Kind, LinearLayer, TargetChoice

Silo = Literal["tensor", "module", "global"]
Distance = Literal["absolute", "relative", "inverse-relative"]
Decay = Literal["none", "linear", "cosine"]
State = Literal["keep", "clear"]

_MLP: frozenset[Kind] = frozenset({"up", "gate", "gate_up", "down"})


class DstConfiguration(PlacedConfiguration):
    """In every silo S at most ⌊density · |S|⌋ entries differ from the pretrained values after each projection.

    Adam's first update is of nearly the same size for every entry, so the first projection chooses almost at random.
    Reselection at later steps corrects this; with a `density_decay` entries move before they are dropped. Until the
    decay ends more entries differ than are counted, which makes the quality at earlier rungs too good.
    """

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the deltas.")
    targets: TargetChoice = Field(
        default="all",
        description="Kinds of linear layers to adapt; or {names: [NAME, …]} or {regex: PATTERN}, "
        "as PEFT's target_modules.",
    )
    density: float = Field(default=0.005, gt=0, le=1, description="Part of each silo's entries that may differ.")
    silo: Silo = Field(
        default="tensor",
        description="Which entries compete: those of one weight (the paper's), of all chosen weights of a block's "
        "attention or MLP (module), or of all chosen weights (global).",
    )
    distance: Distance = Field(
        default="absolute",
        description="Distance of an entry from its pretrained value θ: |Δ|, |Δ| / |θ| (relative), or |Δ| · |θ| "
        "(inverse-relative).",
    )
    reselection_interval: int = Field(default=1, ge=1, description="Steps between projections (the paper's: 1).")
    reselection_end: float = Field(
        default=1.0, gt=0, le=1, description="Part of training after which the subset stays (the paper's: 1)."
    )
    density_decay: Decay = Field(
        default="none",
        description="How the density falls from 1 at the start to `density` at `reselection_end` (the paper's: it "
        "does not).",
    )
    reset_state: State = Field(
        default="keep",
        description="What becomes of the optimizer's moments of reset entries until they are updated again.",
    )


def silos(configuration: DstConfiguration, layers: Sequence[LinearLayer]) -> list[tuple[LinearLayer, ...]]:
    """Return the silos, a partition of `layers`.

    The paper has silos "per module per layer", read here as one for every weight (`tensor`). With `module` a silo is
    the attention of a transformer block, with a decoder's cross-attention, or its MLP. With `global`, which the paper
    does not have, there is one for all.
    """
    found: dict[Hashable, list[LinearLayer]] = {}
    for one in layers:
        keys: dict[Silo, Hashable] = {"tensor": one.name, "module": (one.block, one.kind in _MLP), "global": None}
        found.setdefault(keys[configuration.silo], []).append(one)
    return [tuple(silo) for silo in found.values()]


def shares(sizes: Sequence[int], count: int) -> list[int]:
    """Return the part of `count` entries that each tensor of a silo has before the first projection, by its size."""
    ends = [count * end // sum(sizes) for end in accumulate(sizes, initial=0)]
    return [end - start for start, end in pairwise(ends)]


class Dst(Method[DstConfiguration]):
    """Keeps, in every silo, the entries that moved farthest from the pretrained values.

    The counts of single layers are those before the first projection; entries move between the weights of a silo while
    training.
    """

    name = "dst"
    summary = "reselected subset of weight entries, any density"
    source = "arXiv 2411.08610"
    usual = True
    configuration = DstConfiguration
    size_knob = "density"
    knobs = {  # noqa: RUF012
        # Global first: it reaches every count, and feasibility is decided with the first choice.
        "silo": Choice(("global", "module", "tensor")),
        "distance": Choice(("absolute", "relative", "inverse-relative")),
        "reselection_interval": Choice((1, 5, 25)),
        "reselection_end": Choice((0.1, 0.25, 0.5, 1.0)),
        "density_decay": Choice(("none", "linear", "cosine")),
        "reset_state": Choice(("keep", "clear")),
    }

    def count(self, configuration: DstConfiguration, inventory: Inventory) -> Count:
        layers = placed_layers(configuration, inventory)
        grouped = silos(configuration, layers)
        trainable: dict[LinearLayer, int] = {}
        for silo in grouped:
            size = _size(silo)
            entries = entries_at(configuration.density, size)
            if entries < 1:
                where = silo[0].name if len(silo) == 1 else f"{silo[0].name} and {len(silo) - 1} more"
                advice = "" if configuration.silo == "global" else "; silo = global needs one entry for all weights"
                raise Unfit(
                    f"density = {configuration.density} of {where} ({size:,} entries) trains nothing{advice}",
                    smallest=_total(_least_density(grouped), grouped),
                )
            trainable |= zip(silo, shares([one.size for one in silo], entries), strict=True)
        total = sum(trainable.values())
        return layerwise(
            inventory,
            {one: trainable[one] for one in layers},
            adapter_bytes=VALUE_AND_INDEX_BYTES * total,
            peak_updated=_size(layers),
        )

    def fit(self, configuration: DstConfiguration, inventory: Inventory, allowance: int) -> DstConfiguration:
        layers = placed_layers(configuration, inventory)
        grouped, size = silos(configuration, layers), _size(layers)
        least = _least_density(grouped)
        smallest = _total(least, grouped)
        if allowance < smallest:
            advice = "" if configuration.silo == "global" else "; silo = global can train a single one"
            raise Unfit(f"dst of one entry in the smallest silo trains {smallest:,} parameters here{advice}", smallest)
        if allowance >= size:
            return configuration.model_copy(update={"density": 1.0})
        density = max(least, density_for(allowance, size))
        # Every silo rounds down, so that a few entries more may still be within the allowance.
        while _total(larger := _next_density(density, grouped), grouped) <= allowance:
            density = larger
        return configuration.model_copy(update={"density": density})


def _size(layers: Sequence[LinearLayer]) -> int:
    return sum(one.size for one in layers)


def _least_density(grouped: Sequence[Sequence[LinearLayer]]) -> float:
    """Return the density at which the smallest silo has one entry."""
    return density_for(1, min(map(_size, grouped)))


def _next_density(density: float, grouped: Sequence[Sequence[LinearLayer]]) -> float:
    """Return the least density above `density` at which some silo has one more entry."""
    return min(density_for(entries_at(density, size) + 1, size) for size in set(map(_size, grouped)))


def _total(density: float, grouped: Sequence[Sequence[LinearLayer]]) -> int:
    return sum(entries_at(density, _size(silo)) for silo in grouped)


METHODS = (Dst(),)
