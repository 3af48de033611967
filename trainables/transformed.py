"""A linear layer whose adapter transforms what goes in or comes out."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor

from trainables.tuners.additive import AdditiveLayer


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
