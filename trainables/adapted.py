"""What all layers of our tuners share: a module of the base, and adapters of it by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn


class AdaptedModule(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A module with adapters. Subclasses say what an adapter is, and name the dictionaries that hold its parts."""

    # Given by subclasses, and by PEFT's mixin.
    adapter_layer_names: ClassVar[tuple[str, ...]]
    other_param_names: ClassVar[tuple[str, ...]]
    active_adapters: list[str]
    set_adapter: Callable[..., None]

    def __init__(self, base_layer: nn.Module, adapter_name: str) -> None:
        nn.Module.__init__(self)
        self.base_layer: Any = base_layer
        self.merged_adapters: list[str] = []
        self._active_adapter = [adapter_name]

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        first: nn.Parameter = next(self.base_layer.parameters())
        return first.device

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """PEFT's own casts to the base's type on the way, which would round what was trained in float32."""
        for name in (*self.adapter_layer_names, *self.other_param_names):
            entries = getattr(self, name)
            if adapter_name in entries and isinstance(entries[adapter_name], Tensor | nn.Module):
                entries[adapter_name] = entries[adapter_name].to(device or self.device)


class Transparent(AdaptedModule):
    """Attributes that this layer lacks are those of the module in use, for models reach into their parts."""

    def in_use(self) -> nn.Module:
        """The module that computes."""
        module: nn.Module = self.base_layer
        return module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "base_layer" not in self.__dict__.get("_modules", {}):
                raise
            return getattr(self.in_use(), name)
