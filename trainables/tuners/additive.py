"""Linear layers whose update is computed beside them, W x + ΔW x, or by a transformation of their input or output."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor, nn

from trainables.tuners.base import AdaptedLinear
from trainables.tuners.restorable import RestorableModule


class AdditiveLayer(AdaptedLinear, RestorableModule):
    """A linear layer with an update ΔW. The base's weight is never written.

    Subclasses implement ΔW twice: as a product with x, and as a matrix.
    """

    @abstractmethod
    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return ΔW x, shape (…, out), for x of shape (…, in)."""

    @abstractmethod
    def get_delta_weight(self, adapter: str) -> Tensor:
        """Return ΔW, float32, in the shape of the stored weight. If ΔW depends on W, it uses the pretrained W."""

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
        """Return the adapter's change of `output`, the base layer's output at x: here the update of x."""
        return self.update(adapter_name, x)

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Replace W by W + ΔW. The original is kept unchanged, because other processes may share it.

        Raises:
            ValueError: when the weight is quantised, or `safe_merge` finds one that is not finite.
        """
        own = self._parameters_by_adapter()
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in own]
        if not names:
            return
        self.check_plain_weight()
        merged = self.base_layer.weight.float()
        for name in names:
            merged = merged + self.get_delta_weight(name)
        if safe_merge and not merged.isfinite().all():
            raise ValueError(f"merging {', '.join(names)} gives weights that are not finite")
        self.replace("weight", merged)
        self.merged_adapters.extend(names)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """Return True: ΔW adds to W, so PEFT's `convert_to_lora` can truncate it to a rank."""
        return True

    def _parameters_by_adapter(self) -> nn.ParameterDict:
        parameters: nn.ParameterDict = getattr(self, self.adapter_layer_names[0])
        return parameters


class TransformedLayer(AdditiveLayer):
    """A linear layer whose adapter transforms its input or its output.

    Subclasses implement the adapted output. Several active adapters add their differences from the base.
    """

    @abstractmethod
    def output(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return the output of the layer with the adapter, bias included, in the base's type."""

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return the difference that the adapter makes in the output."""
        plain: Tensor = self.base_layer(x)
        return self.output(adapter_name, x) - plain

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer to x of shape (…, in)."""
        names = self.active(self._parameters_by_adapter())
        if self.disable_adapters or self.merged or len(names) != 1:
            return super().forward(x, *args, **kwargs)
        return self.output(names[0], x)
