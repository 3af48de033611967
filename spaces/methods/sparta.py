"""SpaRTA: train a random subset of the base's parameters, entry by entry (arXiv 2502.15975)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from spaces.methods.base.method import Method, PlacedConfiguration, Unfit, placed_layers
from spaces.methods.base.random_subsets import Places, bernoulli_count, bernoulli_probability, exact_counts, places
from spaces.model.budget import Count, LayerCount
from spaces.model.inventory import BaseParameter, Inventory, TargetChoice

VALUE_BYTES = 4  # a float32 delta
ROUNDING = 2.0**-51  # of a float product, relative
VALUE_AND_INDEX_BYTES = 8  # a float32 delta and the int32 flat index of its entry

Selection = Literal["exact", "bernoulli"]
DensityOf = Literal["targets", "model"]
Drawn = Literal["weights", "weights-and-biases", "embeddings", "all"]
Indices = Literal["stored", "seed"]


class SpartaConfiguration(PlacedConfiguration):
    """Some of the entries of chosen parameters are trained; the rest stay as they were.

    The paper draws each entry of the value and output projections independently and states the density of the whole
    base model: `selection: bernoulli`, `density_of: model`, `targets: vo`, `parameters: weights-and-biases`.
    """

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the deltas.")
    targets: TargetChoice = Field(
        default="vo",
        description="Kinds of linear layers to adapt (the paper's: vo); or {names: [NAME, …]} or {regex: PATTERN}, "
        "as PEFT's target_modules.",
    )
    parameters: Drawn = Field(
        default="weights",
        description="Parameters that entries are drawn from: weights of the targets, or their biases too; embeddings, "
        "or all parameters of the base, regardless of targets and layers.",
    )
    density: float = Field(default=0.05, gt=0, le=1, description="Part of the entries to train.")
    density_of: DensityOf = Field(
        default="targets", description="Parameters that density refers to: the chosen ones, or the base model (paper)."
    )
    selection: Selection = Field(
        default="exact",
        description="exact: ⌊density · entries⌋ entries; bernoulli: each by itself with the same probability (paper).",
    )
    indices: Indices = Field(
        default="stored", description="Ship the places of the deltas, or only the seed that draws them again."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the random subset.")

    @model_validator(mode="before")
    @classmethod
    def _placeless(cls, values: Any) -> Any:
        """Reset `targets` and `layers` if they have no effect, so that equal trainings have equal settings."""
        if isinstance(values, dict) and values.get("parameters") in ("embeddings", "all"):
            return {name: value for name, value in values.items() if name not in ("targets", "layers")}
        return values


def choose_entries(sizes: Sequence[int], count: int, seed: int) -> list[Places]:
    """Draw exactly `count` of all entries of several tensors, uniformly and without repetition.

    The generator is NumPy's PCG64 on the CPU, so the draw is the same on every device.

    Args:
        sizes: entries of each tensor.
        count: entries to draw.
        seed: seed of the generator.

    Returns:
        The ascending int32 flat indices drawn in each tensor.
    """
    generator = np.random.default_rng(seed)
    counts = exact_counts(sizes, count, generator)
    return [places(size, int(one), generator) for size, one in zip(sizes, counts, strict=True)]


def entries_at(density: float, size: int) -> int:
    """Return ⌊density · size⌋ without the rounding error of floats: 0.29 of 100 is 29, though 0.29 * 100 < 29."""
    product = density * size
    nearest = round(product)
    return nearest if math.isclose(product, nearest, rel_tol=ROUNDING) else int(product)


def density_for(entries: int, size: int) -> float:
    """Return a density at which `entries_at(density, size)` is exactly `entries`."""
    density = entries / size
    return density if entries_at(density, size) == entries else math.nextafter(density, 1.0)


def drawn_from(configuration: SpartaConfiguration, inventory: Inventory) -> tuple[BaseParameter, ...]:
    """Return the parameters whose entries may be trained, in the model's order.

    Raises:
        Unfit: when the model has none of them.
    """
    layers = placed_layers(configuration, inventory)
    if configuration.parameters == "weights":
        return tuple(
            BaseParameter(f"{one.name}.weight", (one.out_features, one.in_features), "weight", one.block)
            for one in layers
        )
    names = {f"{one.name}.{leaf}" for one in layers for leaf in ("weight", "bias")}
    kinds = {
        "weights-and-biases": lambda one: one.name in names,
        "embeddings": lambda one: one.role == "embedding",
        "all": lambda one: True,
    }
    found = tuple(filter(kinds[configuration.parameters], inventory.parameters))
    if not found:
        raise Unfit(f"parameters = {configuration.parameters}: {inventory.model_type} has none", smallest=0)
    return found


def trained_entries(configuration: SpartaConfiguration, inventory: Inventory) -> int:
    """Return the number of entries that a configuration trains.

    Raises:
        Unfit: when it would train none, or more than there are.
    """
    size = sum(one.size for one in drawn_from(configuration, inventory))
    whole = inventory.base_parameters if configuration.density_of == "model" else size
    entries = entries_at(configuration.density, whole)
    if entries > size:
        raise Unfit(
            f"density = {configuration.density} of the model's {whole:,} parameters is more than the {size:,} to draw "
            f"from; allowed: up to {size / whole:.2%}",
            smallest=1,
        )
    if configuration.selection == "bernoulli":
        entries = bernoulli_count(size, configuration.density * whole / size, configuration.seed)
    if entries < 1:
        raise Unfit(f"density = {configuration.density} of {whole:,} entries trains nothing", smallest=1)
    return entries


class Sparta(Method[SpartaConfiguration]):
    """Trains entries drawn once before training."""

    name = "sparta"
    summary = "fixed random subset of parameters, any density"
    source = "arXiv 2502.15975"
    usual = True
    configuration = SpartaConfiguration
    size_knob = "density"

    def count(self, configuration: SpartaConfiguration, inventory: Inventory) -> Count:
        drawn = drawn_from(configuration, inventory)
        total = trained_entries(configuration, inventory)
        counts = exact_counts([one.size for one in drawn], total, np.random.default_rng(configuration.seed))
        return Count(
            trainable_parameters=total,
            stored_parameters=total,
            adapter_bytes=total * (VALUE_AND_INDEX_BYTES if configuration.indices == "stored" else VALUE_BYTES),
            head_parameters=inventory.head_parameters,
            base_parameters=inventory.base_parameters,
            peak_updated_parameters=total,
            layers=tuple(
                LayerCount(one.name.removesuffix(".weight"), one.shape, int(count))
                for one, count in zip(drawn, counts, strict=True)
            ),
        )

    def fit(self, configuration: SpartaConfiguration, inventory: Inventory, allowance: int) -> SpartaConfiguration:
        size = sum(one.size for one in drawn_from(configuration, inventory))
        if allowance < 1:
            raise Unfit("sparta trains at least one entry", smallest=1)
        entries = min(allowance, size)
        whole = inventory.base_parameters if configuration.density_of == "model" else size
        density = density_for(entries, whole)
        if configuration.selection == "bernoulli":
            density = bernoulli_probability(size, entries, configuration.seed) * size / whole
        return configuration.model_copy(update={"density": density})


METHODS = (Sparta(),)
