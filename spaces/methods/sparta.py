"""SpaRTA: train a random subset of the entries of chosen weights (arXiv 2502.15975)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from spaces.count import Count
from spaces.inventory import Inventory, Targets
from spaces.methods.base import Method, PlacedConfiguration, Unfit, layerwise, placed_layers

VALUE_AND_INDEX_BYTES = 8  # a float32 delta and the int32 flat index of its entry


class SpartaConfiguration(PlacedConfiguration):
    """Exactly ⌊density · entries⌋ entries over all chosen weights are trained; the rest stay as they were."""

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the deltas.")
    targets: Targets = Field(default="vo", description="Kinds of linear layers to adapt (the paper's: vo).")
    density: float = Field(default=0.05, gt=0, le=1, description="Part of the chosen weights' entries to train.")
    seed: int = Field(default=0, ge=0, description="Seed of the random subset.")


def choose_entries(sizes: Sequence[int], count: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Draw exactly `count` of all entries of tensors with `sizes` entries, uniformly and without repetition.

    Returns, for each tensor, the sorted flat indices chosen in it. The draw is NumPy's PCG64 on the CPU, so it is
    the same on every device.
    """
    ends = np.cumsum(np.asarray(sizes, dtype=np.int64))
    chosen = np.sort(np.random.default_rng(seed).choice(int(ends[-1]), size=count, replace=False, shuffle=False))
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    starts = ends - np.asarray(sizes, dtype=np.int64)
    return [part - start for part, start in zip(parts, starts, strict=True)]


def entries_at(density: float, size: int) -> int:
    """⌊density · size⌋."""
    return int(density * size)


def density_for(entries: int, size: int) -> float:
    """A density at which `entries_at(density, size)` is `entries`, whatever floats round to."""
    density = entries / size
    return density if entries_at(density, size) == entries else math.nextafter(density, 1.0)


class Sparta(Method[SpartaConfiguration]):
    """Trains exactly k entries, drawn once before training."""

    name = "sparta"
    summary = "fixed random subset of weight entries, any density"
    source = "arXiv 2502.15975"
    usual = True
    configuration = SpartaConfiguration
    size_knob = "density"

    def count(self, configuration: SpartaConfiguration, inventory: Inventory) -> Count:
        layers = placed_layers(configuration, inventory)
        sizes = [one.size for one in layers]
        total = entries_at(configuration.density, sum(sizes))
        if total < 1:
            raise Unfit(f"density = {configuration.density} of {sum(sizes):,} entries trains nothing", smallest=1)
        chosen = choose_entries(sizes, total, configuration.seed)
        trainable = {one: len(part) for one, part in zip(layers, chosen, strict=True)}
        return layerwise(inventory, trainable, adapter_bytes=VALUE_AND_INDEX_BYTES * total)

    def fit(self, configuration: SpartaConfiguration, inventory: Inventory, allowance: int) -> SpartaConfiguration:
        size = sum(one.size for one in placed_layers(configuration, inventory))
        if allowance < 1:
            raise Unfit("sparta trains at least one entry", smallest=1)
        return configuration.model_copy(update={"density": density_for(min(allowance, size), size)})


METHODS = (Sparta(),)
