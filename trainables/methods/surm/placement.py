"""The two placements of an update ΔW: beside a weight, as in LoRA, or behind it, as in Houlsby's adapters.

Houlsby et al.: arXiv 1902.00751.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import gelu

from spaces.errors import RequestError
from spaces.methods._surm import Placement, update_shape
from trainables.tuners.additive import AdditiveLayer


class PlacedLayer(AdditiveLayer):
    """A linear layer with ΔW beside or behind its weight (arXiv 2406.17740, section 4).

    Beside: X + ΔW x. Behind: X + GELU(ΔW X) + b, with X = W x + bias and ΔW square.
    """

    @abstractmethod
    def placement(self, adapter_name: str) -> Placement:
        """Return the placement of an adapter's update."""

    @abstractmethod
    def bias(self, adapter_name: str) -> Tensor:
        """Return b of an adapter behind the weight, shape (out,)."""

    def update_shape(self, adapter_name: str) -> tuple[int, int]:
        """Return the rows and columns of ΔW."""
        return update_shape(self.placement(adapter_name), self.out_features, self.in_features)

    def addition(self, adapter_name: str, x: Tensor, output: Tensor) -> Tensor:
        """Return the adapter's change of `output`, which for an adapter behind the weight is also its input."""
        if self.placement(adapter_name) == "lora":
            return self.update(adapter_name, x)
        return gelu(self.update(adapter_name, output)) + self.bias(adapter_name)

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Replace W by W + ΔW.

        Raises:
            ValueError: when `safe_merge` finds a weight that is not finite.
            RequestError: when the adapter is behind the weight.
        """
        self.check_mergeable(adapter_names)
        super().merge(safe_merge, adapter_names)

    def check_mergeable(self, adapter_names: list[str] | None = None) -> None:
        """Check that the adapters are linear, so that a weight can hold them.

        Raises:
            RequestError: when an adapter is behind the weight.
        """
        for name in self.active_adapters if adapter_names is None else adapter_names:
            if name in self._parameters_by_adapter() and self.placement(name) == "adapter":
                raise RequestError(
                    "placement = adapter: X + GELU(ΔW X) + b is not linear and cannot be merged into a weight; "
                    "allowed to merge: placement = lora"
                )

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """Return whether the update is beside the weight, and so additive."""
        return self.placement(adapter_name) == "lora"
