"""Exact counts of one configuration, and the budget that they are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCount:
    """Trainable parameters of one adapted tensor of the base."""

    name: str
    shape: tuple[int, ...]
    trainable_parameters: int


@dataclass(frozen=True)
class Count:
    """What a configuration trains and ships, without the task head unless said otherwise.

    `trainable_parameters`: scalars that the optimizer holds; for a method that reselects, the entries allowed to
    differ from the base. `stored_parameters`: values that must be shipped (indices are not parameters; they count
    in `adapter_bytes`). `adapter_bytes`: tensor bytes of the native adapter. `peak_updated_parameters`: entries
    that may be updated at once while training.
    """

    trainable_parameters: int
    stored_parameters: int
    adapter_bytes: int
    head_parameters: int
    base_parameters: int
    peak_updated_parameters: int
    layers: tuple[LayerCount, ...]


@dataclass(frozen=True)
class Budget:
    """Limits in trainable parameters and, where given, bytes of the native adapter."""

    parameters: int
    at_least: int
    bytes: int | None = None
    count_head: bool = False

    def trainable(self, count: Count) -> int:
        """The trainable parameters that are held against this budget, the head among them only if it counts."""
        return count.trainable_parameters + self.head(count)

    def head(self, count: Count) -> int:
        """The parameters of the task head that count: all or none."""
        return count.head_parameters if self.count_head else 0

    def excess(self, count: Count) -> float:
        """How far outside the budget a count lies, in powers of ten; 0 or less when it is within."""
        trainable = max(1, self.trainable(count))
        over = math.log10(trainable / self.parameters)
        under = math.log10(self.at_least / trainable)
        heavy = math.log10(max(1, count.adapter_bytes) / self.bytes) if self.bytes is not None else -math.inf
        return max(over, under, heavy)
