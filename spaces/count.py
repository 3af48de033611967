"""Exact counts of one configuration."""

from __future__ import annotations

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
