"""Two places of an update ΔW: beside a weight, as LoRA's, or behind it, as Houlsby's adapters (arXiv 1902.00751)."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import gelu

from spaces.errors import RequestError
from spaces.methods._surm import Placement, update_shape
from trainables.tuners.additive import AdditiveLayer


class PlacedLayer(AdditiveLayer):
    """Beside: X + ΔW x. Behind: X + GELU(ΔW X) + b, X = W x + bias and ΔW square (arXiv 2406.17740, section 4)."""

    @abstractmethod
    def placement(self, adapter_name: str) -> Placement:
        """Where the update of an adapter stands."""

    @abstractmethod
    def bias(self, adapter_name: str) -> Tensor:
        """b of an adapter behind the weight, shape (out,)."""

    def update_shape(self, adapter_name: str) -> tuple[int, int]:
        """Rows and columns of ΔW."""
        return update_shape(self.placement(adapter_name), self.out_features, self.in_features)

    def addition(self, adapter_name: str, x: Tensor, output: Tensor) -> Tensor:
        """What an adapter adds to the output of the weight, which is also its input where it stands behind."""
        if self.placement(adapter_name) == "lora":
            return self.update(adapter_name, x)
        return gelu(self.update(adapter_name, output)) + self.bias(adapter_name)

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put W + ΔW in the place of W.

        Raises:
            ValueError: when `safe_merge` finds a weight that is not finite.
            RequestError: of an adapter behind the weight.
        """
        self.check_mergeable(adapter_names)
        super().merge(safe_merge, adapter_names)

    def check_mergeable(self, adapter_names: list[str] | None = None) -> None:
        """See that no weight is asked to hold what is not linear.

        Raises:
            RequestError: of an adapter behind the weight.
        """
        for name in self.active_adapters if adapter_names is None else adapter_names:
            if name in self._parameters_by_adapter() and self.placement(name) == "adapter":
                raise RequestError(
                    "placement = adapter: X + GELU(ΔW X) + b is not linear and cannot be merged into a weight; "
                    "allowed to merge: placement = lora"
                )

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """An update beside the weight is additive."""
        return self.placement(adapter_name) == "lora"
