"""A module of the base and the trained copies that take its place."""

from __future__ import annotations

import copy
from typing import Any

import torch
from accelerate.utils import recursively_apply
from peft import PeftConfig
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import nn

from trainables.adapted import Transparent


class WholeModule(Transparent):
    """A module, and for each adapter a copy of it in float32 that takes its place."""

    adapter_layer_names = ("full_copy",)
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.full_copy = nn.ModuleDict()
        self._type = next(base_layer.parameters()).dtype

    def update_layer(self, adapter_name: str, config: PeftConfig, memo: dict[int, Any]) -> None:
        """Add a copy; one `memo` for all layers lets tied weights stay one parameter."""
        self.full_copy[adapter_name] = copy.deepcopy(self.base_layer, memo).float()
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def in_use(self) -> nn.Module:
        """The copy of the merged or active adapter, or the module itself.

        Raises:
            ValueError: when several adapters are active: whole copies do not add up.
        """
        wanted = [] if self.disable_adapters else self.merged_adapters or self.active_adapters
        names = [name for name in wanted if name in self.full_copy]
        if len(names) > 1:
            raise ValueError(f"full adapters exclude each other; active: {', '.join(names)}")
        return self.full_copy[names[0]] if names else super().in_use()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module in use; a copy computes in float32, whatever the type around it."""
        if self.disable_adapters and self.merged_adapters:
            self.unmerge()
        module = self.in_use()
        if module is self.base_layer or self._type == torch.float32:
            return module(*args, **kwargs)
        args, kwargs = _cast((args, kwargs), torch.float32)
        return _cast(module(*args, **kwargs), self._type)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Let a copy take the module's place until `unmerge`. The module is never written.

        Raises:
            ValueError: when `safe_merge` finds a parameter that is not finite.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.full_copy]
        for name in names:
            if safe_merge and not all(one.isfinite().all() for one in self.full_copy[name].parameters()):
                raise ValueError(f"adapter {name} has parameters that are not finite")
        self.merged_adapters.extend(names)

    def unmerge(self) -> None:
        """Give the module its place back."""
        self.merged_adapters.clear()

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool, adapter_names: list[str] | None
    ) -> nn.Module:
        """The copy in the module's type, or the module itself."""
        if not merge:
            return super().in_use()
        self.merge(safe_merge, adapter_names)
        return self.in_use().to(self._type)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """A copy is where the module is; PEFT's own would also cast it."""


def _cast(tree: Any, dtype: torch.dtype) -> Any:
    return recursively_apply(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, tree)
