"""BitFit (arXiv 2106.10199) as a PEFT tuner: the base's biases change by trained vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from spaces.methods import bitfit as space
from spaces.methods.bitfit import BitFitConfiguration
from spaces.model.inventory import Inventory
from trainables.methods._own_parameters import owners
from trainables.tuners.adapter import Adapter
from trainables.tuners.base import LinearConfig, Tuner, tuner
from trainables.tuners.restorable import RestorableModule


@dataclass
class BitFitConfig(LinearConfig):
    """Settings of BitFit. The targets are modules with a bias that they add last."""


class BiasLayer(RestorableModule):
    """A module that adds its bias last, with float32 changes of this bias. The bias itself is never written."""

    adapter_layer_names = ("bitfit_delta",)
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.bitfit_delta = nn.ParameterDict()

    def update_layer(self, adapter_name: str, config: BitFitConfig, **kwargs: Any) -> None:
        """Add an adapter that starts at no change."""
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
                delta = self.bitfit_delta[name]
                result = (result + delta.reshape(-1, *[1] * _behind_features(self.base_layer, result))).to(result.dtype)
        return result

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Replace the bias by the changed one. The original is kept unchanged, because other processes may share it.

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


def _behind_features(module: nn.Module, result: Tensor) -> int:
    """Return the dimensions of a module's output behind that of its features: those of places, in images."""
    first = isinstance(module, _ConvNd | _BatchNorm) or getattr(module, "data_format", "") == "channels_first"
    return result.dim() - 2 if first else 0


@tuner("bitfit", BitFitConfig)
class BitFitModel(Tuner):
    """The tuner of BitFit: puts a `BiasLayer` around every target."""

    prefix = "bitfit_"
    tuner_layer_cls = BiasLayer


class BitFit(Adapter[BitFitConfiguration]):
    """The biases inside the transformer blocks."""

    name = "bitfit"

    def peft_config(self, configuration: BitFitConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the modules that hold the biases, by their full names."""
        return BitFitConfig(target_modules=owners(space.BitFit(), configuration, inventory))


ADAPTERS = (BitFit(),)
