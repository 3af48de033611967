"""Exact counts of one configuration, and the budget that limits them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from spaces.model.inventory import BaseParameter


@dataclass(frozen=True)
class LayerCount:
    """Trainable parameters of one adapted tensor of the base."""

    name: str
    shape: tuple[int, ...]
    trainable_parameters: int


@dataclass(frozen=True)
class Count:
    """The counts of one configuration, without the task head unless it is named.

    Attributes:
        trainable_parameters: scalars that the optimizer holds; of a method that reselects, the entries that may differ
            from the base.
        stored_parameters: values that must be shipped. Indices are not parameters; they count in `adapter_bytes`.
        adapter_bytes: tensor bytes of the native adapter.
        head_parameters: parameters of the task head.
        base_parameters: parameters of the pretrained base.
        peak_updated_parameters: entries that may be updated at once while training.
        layers: the trainable parameters of each adapted tensor.
    """

    trainable_parameters: int
    stored_parameters: int
    adapter_bytes: int
    head_parameters: int
    base_parameters: int
    peak_updated_parameters: int
    layers: tuple[LayerCount, ...]


def with_saved(count: Count, saved: Collection[BaseParameter]) -> Count:
    """Return a count with parameters that train whole beside the adapter."""
    size = sum(one.size for one in saved)
    return replace(
        count,
        trainable_parameters=count.trainable_parameters + size,
        stored_parameters=count.stored_parameters + size,
        adapter_bytes=count.adapter_bytes + 4 * size,
        peak_updated_parameters=count.peak_updated_parameters + size,
        layers=(*count.layers, *(LayerCount(one.name, one.shape, one.size) for one in saved)),
    )


@dataclass(frozen=True)
class Budget:
    """Limits on trainable parameters and, if given, on bytes of the native adapter.

    Attributes:
        parameters: the most trainable parameters.
        at_least: the fewest trainable parameters of interest.
        bytes: the most tensor bytes of the native adapter; None for any number.
        count_head: the task head counts as well.
    """

    parameters: int
    at_least: int
    bytes: int | None = None
    count_head: bool = False

    def trainable(self, count: Count) -> int:
        """Return the trainable parameters that count against the budget, with the head only if it counts."""
        return count.trainable_parameters + self.head(count)

    def head(self, count: Count) -> int:
        """Return the parameters of the task head that count: all or none."""
        return count.head_parameters if self.count_head else 0

    def excess(self, count: Count) -> float:
        """Return how far a count is outside the budget, in powers of ten; 0 or less when it is within."""
        trainable = max(1, self.trainable(count))
        over = math.log10(trainable / self.parameters)
        under = math.log10(self.at_least / trainable)
        heavy = math.log10(max(1, count.adapter_bytes) / self.bytes) if self.bytes is not None else -math.inf
        return max(over, under, heavy)
