"""Hadamard adapter (arXiv 2407.11033) as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import GloraConfig, PeftConfig, PeftModel
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from spaces.methods.hadamard import HadamardConfiguration, projections
from spaces.model.inventory import Inventory
from trainables.tuners.adapter import Adapter, NoStockForm, StockForm
from trainables.tuners.additive import TransformedLayer
from trainables.tuners.base import LinearConfig, LinearTuner, tuner
from trainables.tuners.low_rank import PREFIX


@dataclass
class HadamardConfig(LinearConfig):
    """w ⊙ (W x + b₀) + b. A layer without b₀ has no b either."""


class HadamardLayer(TransformedLayer):
    """A linear layer with a gain w and a shift b of its output, each (out,)."""

    adapter_layer_names = ("hadamard_gain", "hadamard_shift")
    other_param_names = ()

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.hadamard_gain = nn.ParameterDict()
        self.hadamard_shift = nn.ParameterDict()

    def update_layer(self, adapter_name: str, config: HadamardConfig, **kwargs: Any) -> None:
        """Add an adapter with w = 1 and, where the layer has a bias, b = 0."""
        device = self.base_layer.weight.device
        self.hadamard_gain[adapter_name] = nn.Parameter(torch.ones(self.out_features, device=device))
        if self.base_layer.bias is not None:
            self.hadamard_shift[adapter_name] = nn.Parameter(torch.zeros(self.out_features, device=device))
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def output(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return w ⊙ (W x + b₀) + b."""
        result: Tensor = self.base_layer(x)
        changed: Tensor = self.hadamard_gain[adapter_name] * result
        if adapter_name in self.hadamard_shift:
            changed = changed + self.hadamard_shift[adapter_name]
        return changed.to(result.dtype)

    @torch.no_grad()
    def get_delta_weight(self, adapter: str) -> Tensor:
        """Return diag(w − 1) W, float32, in the shape of the stored weight."""
        gain: Tensor = self.hadamard_gain[adapter] - 1
        return self.pretrained("weight").float() * (gain if self.transposed else gain.unsqueeze(1))

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Merge the weight as every layer does; the bias becomes w ⊙ b₀ + b.

        Raises:
            ValueError: when `safe_merge` finds a weight or a bias that is not finite.
        """
        earlier, bias = len(self.merged_adapters), self.base_layer.bias
        super().merge(safe_merge, adapter_names)
        names = self.merged_adapters[earlier:]
        if bias is None or not names:
            return
        original, merged = self.pretrained("bias").float(), bias.float()
        for name in names:
            merged = merged + (self.hadamard_gain[name] - 1) * original + self.hadamard_shift[name]
        if safe_merge and not merged.isfinite().all():
            self.unmerge()
            raise ValueError(f"merging {', '.join(names)} gives biases that are not finite")
        self.replace("bias", merged)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """Return whether the layer has no bias, which LoRA could not change."""
        return self.base_layer.bias is None


@tuner("hadamard", HadamardConfig)
class HadamardModel(LinearTuner):
    """The tuner of the Hadamard adapter."""

    prefix = "hadamard_"
    tuner_layer_cls = HadamardLayer


class Hadamard(Adapter[HadamardConfiguration]):
    """Gains and shifts of the output of attention."""

    name = "hadamard"

    def peft_config(self, configuration: HadamardConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the output projections of attention."""
        return HadamardConfig(target_modules=[one.name for one in projections(configuration, inventory)])

    def stock(self, model: PeftModel, configuration: HadamardConfiguration) -> StockForm:
        """Return GLoRA's vectors: W (1 + A) + B with A = w − 1 and B = 0, b₀ (1 + D) + E with D = w − 1 and E = b."""
        adapter = model.active_adapter
        layers = {path: one for path, one in model.named_modules() if isinstance(one, HadamardLayer)}
        tensors: dict[str, Tensor] = {}
        for path, layer in layers.items():
            if not isinstance(layer.base_layer, nn.Linear):
                raise NoStockForm(f"hadamard: {path}: PEFT's GLoRA adapts no {type(layer.base_layer).__name__}")
            gain = layer.hadamard_gain[adapter].detach().float() - 1
            tensors[f"{path}.glora_A.X"] = gain.unsqueeze(1).contiguous()
            tensors[f"{path}.glora_B.X"] = torch.zeros_like(gain).unsqueeze(1)
            tensors[f"{path}.glora_C.zeros"] = gain.new_zeros(layer.in_features, 1)
            if adapter in layer.hadamard_shift:
                tensors[f"{path}.glora_D.X"] = gain.clone()
                tensors[f"{path}.glora_E.X"] = layer.hadamard_shift[adapter].detach().float().clone()
            else:
                tensors[f"{path}.glora_D.zeros"] = torch.zeros_like(gain)
                tensors[f"{path}.glora_E.zeros"] = torch.zeros_like(gain)
        config = GloraConfig(
            config_A_B="vector",
            config_C="none",
            config_D_E="vector",
            target_modules=sorted(path.removeprefix(PREFIX) for path in layers),
        )
        return StockForm(config, tensors)


ADAPTERS = (Hadamard(),)
