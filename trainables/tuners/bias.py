"""A module whose bias moves by a trained vector."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor, nn

from trainables.tuners.base import LinearConfig
from trainables.tuners.restorable import KeepingModule


class BiasLayer(KeepingModule):
    """A module that adds its bias last, and float32 changes of this bias. The bias is never written."""

    adapter_layer_names = ("bitfit_delta",)
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.bitfit_delta = nn.ParameterDict()

    def update_layer(self, adapter_name: str, config: LinearConfig, **kwargs: Any) -> None:
        """Add an adapter that changes nothing yet."""
        bias = self.pretrained("bias")
        self.bitfit_delta[adapter_name] = nn.Parameter(torch.zeros(len(bias), device=bias.device))
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Run the module and add the active changes, in float32."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result: Tensor = self.base_layer(*args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        for name in self.active_adapters:
            if name in self.bitfit_delta:
                result = (result + self.bitfit_delta[name]).to(result.dtype)
        return result

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put the changed bias in the place of the bias, which is kept untouched, for it may be shared with others.

        Raises:
            ValueError: when `safe_merge` finds a bias that is not finite.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.bitfit_delta]
        if not names:
            return
        merged = self.base_layer.bias.float()
        for name in names:
            merged = merged + self.bitfit_delta[name]
        if safe_merge and not merged.isfinite().all():
            raise ValueError(f"merging {', '.join(names)} gives biases that are not finite")
        self.replace("bias", merged)
        self.merged_adapters.extend(names)
