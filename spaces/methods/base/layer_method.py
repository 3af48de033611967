"""Methods that adapt every target by itself, with a count that follows from its shape; PEFT has them."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from spaces.methods.base.method import Configuration, Method, PlacedConfiguration, Unfit, layerwise, placed_layers
from spaces.model.budget import Count
from spaces.model.inventory import Inventory, LinearLayer

C = TypeVar("C", bound=Configuration)
P = TypeVar("P", bound=PlacedConfiguration)
Layers = Sequence[LinearLayer]


class LayerMethod(Method[P]):
    """Trains in every target a number of parameters that follows from its shape.

    With a `size_knob`, `fit` takes the largest of its `sizes` within the allowance. Without one it keeps as many of the
    last blocks as are within it, or a single weight if not even one block is.

    Attributes:
        linear_only: PEFT's tuner does not support weights stored as (in, out), such as GPT-2's `Conv1D`.
        bytes_each: bytes shipped for each trained parameter.
    """

    linear_only: ClassVar[bool] = False
    bytes_each: ClassVar[int] = 4

    @abstractmethod
    def parameters(self, configuration: P, layer: LinearLayer) -> int:
        """Return the trainable parameters in one target."""

    def sizes(self, configuration: P, layers: Layers) -> Sequence[Any]:
        """Return the possible values of the size knob on `layers`, from the smallest adapter to the largest."""
        return ()

    def largest_rank(self, configuration: P, layers: Layers) -> int | None:
        """Return the largest `rank` that `layers` take; None if there is no rank, or no limit."""
        if self.size_knob != "rank":
            return None
        sizes = self.sizes(configuration, layers)
        return max(sizes, default=0)

    def obstacle(self, configuration: P, layer: LinearLayer) -> str | None:
        """Return why the configuration cannot exist on `layer`; None if it can."""
        return None

    def resolved(self, configuration: P, layers: Layers) -> P:
        """Return the configuration with numbers in place of settings that depend on all targets."""
        return configuration

    def count(self, configuration: P, inventory: Inventory) -> Count:
        layers = self._layers(configuration, inventory)
        configuration = self.resolved(configuration, layers)
        limit = self.largest_rank(configuration, layers)
        if limit is not None and (rank := getattr(configuration, str(self.size_knob))) > limit:
            raise Unfit(
                f"rank = {rank}: more than the targets take; allowed: at most {limit}",
                smallest=self._smallest(configuration, layers),
            )
        for one in layers:
            if (reason := self.obstacle(configuration, one)) is not None:
                raise Unfit(reason, smallest=self._smallest(configuration, layers))
        trainable = {one: self.parameters(configuration, one) for one in layers}
        return layerwise(inventory, trainable, adapter_bytes=self.bytes_each * sum(trainable.values()))

    def fit(self, configuration: P, inventory: Inventory, allowance: int) -> P:
        if self.size_knob is None:
            return fit_place(self, configuration, inventory, allowance)
        layers = self._layers(configuration, inventory)
        sizes = self.sizes(configuration, layers)
        fitting = bisect_right(sizes, allowance, key=lambda size: self._total(self._sized(configuration, size), layers))
        if not fitting:
            smallest = self._smallest(configuration, layers)
            raise Unfit(f"the smallest {self.name} here trains {smallest:,} parameters", smallest)
        return self._sized(configuration, sizes[fitting - 1])

    def increasing(self, configuration: P, sizes: Iterable[Any], layers: Layers) -> list[Any]:
        """Return `sizes` in the order of their counts, one for each count: the first given."""
        totals: dict[int, Any] = {}
        for size in sizes:
            totals.setdefault(self._total(self._sized(configuration, size), layers), size)
        return [totals[total] for total in sorted(totals)]

    def _layers(self, configuration: P, inventory: Inventory) -> Layers:
        layers = placed_layers(configuration, inventory)
        for one in layers:
            if self.linear_only and one.transposed:
                raise Unfit(f"PEFT does not support {self.name} on Conv1D layers such as {one.name}", smallest=0)
        return layers

    def _sized(self, configuration: P, size: Any) -> P:
        return configuration.model_copy(update={str(self.size_knob): size})

    def _total(self, configuration: P, layers: Layers) -> int:
        return sum(self.parameters(configuration, one) for one in layers)

    def _smallest(self, configuration: P, layers: Layers) -> int:
        sizes = self.sizes(configuration, layers)
        return self._total(self._sized(configuration, sizes[0]), layers) if sizes else 0


def ranks(layers: Layers) -> range:
    """Return the ranks from 1 to the smallest side of all `layers`."""
    return range(1, min(min(one.out_features, one.in_features) for one in layers) + 1)


def common_divisors(sides: Iterable[int]) -> list[int]:
    """Return the common divisors of `sides`, ascending."""
    greatest = math.gcd(*sides)
    return [one for one in range(1, greatest + 1) if greatest % one == 0]


def fit_place(method: Method[C], configuration: C, inventory: Inventory, allowance: int) -> C:
    """Return the configuration with as many of the last blocks as fit, or with `layers: one` if not even one does.

    Args:
        method: a method whose size is set by its place alone.
        configuration: it has a field `layers`, and trains no more with fewer of them.
        inventory: the layers of the model.
        allowance: the most trainable parameters.

    Raises:
        Unfit: when not even a single weight fits, or the method has no place on the model.
    """
    if method.count(configuration, inventory).trainable_parameters <= allowance:
        return configuration
    fitted = None
    for blocks in range(1, inventory.blocks + 1):
        trial = configuration.model_copy(update={"layers": blocks})
        try:
            size = method.count(trial, inventory).trainable_parameters
        except Unfit:  # nothing to adapt in the last blocks
            continue
        if size > allowance:
            break
        fitted = trial
    if fitted is not None:
        return fitted
    single = configuration.model_copy(update={"layers": "one"})
    smallest = method.count(single, inventory).trainable_parameters
    if smallest > allowance:
        raise Unfit(f"the smallest {method.name} here trains {smallest:,} parameters", smallest=smallest)
    return single
