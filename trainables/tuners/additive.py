"""A linear layer beside which an update of its output is computed: W x + ΔW x."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor, nn

from trainables.tuners.base import AdaptedLinear
from trainables.tuners.restorable import RestorableModule


class AdditiveLayer(AdaptedLinear, RestorableModule):
    """Subclasses say what ΔW is, as a product with x and as a matrix. The base's weight is never written."""

    @abstractmethod
    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """ΔW x, shape (…, out) for x of shape (…, in)."""

    @abstractmethod
    def get_delta_weight(self, adapter: str) -> Tensor:
        """ΔW, float32, shaped like the stored weight. One that depends on W takes the pretrained W."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer to x of shape (…, in)."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        output: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return output
        result = output
        for name in self.active(self._parameters_by_adapter()):
            result = result + self.addition(name, x, output).to(result.dtype)
        return result

    def addition(self, adapter_name: str, x: Tensor, output: Tensor) -> Tensor:
        """What an adapter adds to `output`, the base layer's at x: its update of x."""
        return self.update(adapter_name, x)

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put W + ΔW in the place of W, which is kept untouched, for it may be shared with others.

        Raises:
            ValueError: when `safe_merge` finds a weight that is not finite.
        """
        own = self._parameters_by_adapter()
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in own]
        if not names:
            return
        merged = self.base_layer.weight.float()
        for name in names:
            merged = merged + self.get_delta_weight(name)
        if safe_merge and not merged.isfinite().all():
            raise ValueError(f"merging {', '.join(names)} gives weights that are not finite")
        self.replace("weight", merged)
        self.merged_adapters.extend(names)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """ΔW adds to W, so PEFT's `convert_to_lora` can cut it to a rank."""
        return True

    def _parameters_by_adapter(self) -> nn.ParameterDict:
        parameters: nn.ParameterDict = getattr(self, self.adapter_layer_names[0])
        return parameters


class TransformedLayer(AdditiveLayer):
    """Subclasses say what the adapted layer puts out. Several active adapters add their differences to the base."""

    @abstractmethod
    def output(self, adapter_name: str, x: Tensor) -> Tensor:
        """The output of the layer with the adapter, bias included, in the base's type."""

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """What the adapter changes in the output."""
        plain: Tensor = self.base_layer(x)
        return self.output(adapter_name, x) - plain

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer to x of shape (…, in)."""
        names = self.active(self._parameters_by_adapter())
        if self.disable_adapters or self.merged or len(names) != 1:
            return super().forward(x, *args, **kwargs)
        return self.output(names[0], x)
