"""Whole transformer blocks with adapters around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from spaces.errors import RequestError
from trainables.tuners import Tuner


class AdaptedBlock(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A transformer block with adapters; subclasses say what an adapter is. It cannot be merged.

    Attributes that this layer lacks are those of the block, for models reach into their parts.
    """

    # Given by PEFT's mixin.
    adapter_layer_names: ClassVar[tuple[str, ...]]
    other_param_names: ClassVar[tuple[str, ...]]
    active_adapters: list[str]
    set_adapter: Callable[..., None]

    def __init__(self, base_layer: nn.Module, adapter_name: str) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.merged_adapters: list[str] = []
        self._active_adapter = [adapter_name]

    @property
    def device(self) -> torch.device:
        """Where the block is."""
        return next(self.base_layer.parameters()).device

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "base_layer" not in self.__dict__.get("_modules", {}):
                raise
            return getattr(self.base_layer, name)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """PEFT's own asks the block for a weight."""
        for name in (*self.adapter_layer_names, *self.other_param_names):
            entries = getattr(self, name)
            if adapter_name in entries and isinstance(entries[adapter_name], Tensor | nn.Module):
                entries[adapter_name] = entries[adapter_name].to(device or self.device)


class BlockTuner(Tuner):
    """Puts `tuner_layer_cls`, an `AdaptedBlock`, around every target."""

    def _check_merge_allowed(self) -> None:
        """Never.

        Raises:
            RequestError: always.
        """
        name = type(self).prefix.rstrip("_")
        raise RequestError(f"{name} cannot be merged into the base's weights; allowed: keep it as an adapter")


def block_of(layer: str) -> str:
    """Name of the block around the layer called `layer`: its path up to the first number."""
    parts = layer.split(".")
    return ".".join(parts[: next(place for place, part in enumerate(parts) if part.isdigit()) + 1])
