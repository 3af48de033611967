"""Modules that merge by replacing parameters of the base, and restore them to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn

from trainables.base_model.quantization import dequantised, is_quantised
from trainables.tuners.base import AdaptedModule


class RestorableModule(AdaptedModule):
    """Merges by replacing the base's parameters, which are never written, because other processes may share them."""

    def __init__(self, base_layer: Any, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self._kept = (nn.ParameterDict(),)  # a tuple, so that what is kept is no part of this module

    def pretrained(self, name: str) -> nn.Parameter:
        """Return the base's parameter called `name`, merged or not; a quantised weight as the numbers it stands for."""
        if name == "weight" and is_quantised(self.base_layer):
            return nn.Parameter(dequantised(self.base_layer), requires_grad=False)
        (kept,) = self._kept
        parameter: nn.Parameter = kept[name] if name in kept else getattr(self.base_layer, name)
        return parameter

    def replace(self, name: str, value: Tensor) -> None:
        """Put `value`, rounded to the parameter's type, in the place of the base's parameter called `name`."""
        (kept,) = self._kept
        kept[name] = self.pretrained(name)
        setattr(self.base_layer, name, nn.Parameter(value.to(kept[name].dtype), requires_grad=False))

    def check_plain_weight(self) -> None:
        """Check that the weight can hold a merged one.

        Raises:
            ValueError: when it is quantised.
        """
        if is_quantised(self.base_layer):
            raise ValueError(
                "a quantised weight would round a merged one to its few levels; allowed: the adapter on the "
                "dequantised base, and merging there"
            )

    def unmerge(self) -> None:
        """Restore the base's parameters to the bit."""
        (kept,) = self._kept
        for name, parameter in kept.items():
            setattr(self.base_layer, name, parameter)
        kept.clear()
        self.merged_adapters.clear()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Cast and move the kept parameters too."""
        applied: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if recurse:
            (kept,) = self._kept
            kept._apply(fn)  # type: ignore[no-untyped-call]
        return applied
