"""SURM (arXiv 2406.17740) as PEFT tuners. So far: circulant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from peft.utils import PeftType
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from spaces.inventory import Inventory
from spaces.methods.surm import CirculantConfiguration
from trainables.additive import AdditiveLayer
from trainables.methods.base import Adapter, target_names
from trainables.structured.circulant import dense, matvec
from trainables.tuners import LinearConfig, LinearTuner, register

_R1, _R2 = ".surm_circulant_r1.", ".surm_circulant_r2."


@dataclass
class CirculantConfig(LinearConfig):
    """ΔW = α · C(r₁ ⊙ r₂), the upper left part of a circulant."""

    alpha: float = field(default=1.0, metadata={"help": "Scale of the update."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of the update."})
    seed: int = field(default=0, metadata={"help": "Seed of r₂."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType["SURM_CIRCULANT"]


class CirculantLayer(AdditiveLayer):
    """A linear layer with ΔW = α · C[:out, :in], where C has order max(out, in) and first column r₁ ⊙ r₂."""

    adapter_layer_names = ("surm_circulant_r1", "surm_circulant_r2")
    other_param_names = ("surm_circulant_alpha", "surm_circulant_dropout")

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.surm_circulant_r1 = nn.ParameterDict()
        self.surm_circulant_r2 = nn.ParameterDict()
        self.surm_circulant_alpha: dict[str, float] = {}
        self.surm_circulant_dropout = nn.ModuleDict()

    def update_layer(self, adapter_name: str, config: Any, **kwargs: Any) -> None:
        """Add an adapter with r₁ = 0 and r₂ ~ N(0, 1) drawn from `kwargs["generator"]`, on the CPU."""
        order = max(self.out_features, self.in_features)
        device = self.base_layer.weight.device
        r2 = torch.randn(order, generator=kwargs["generator"]).to(device)
        self.surm_circulant_r1[adapter_name] = nn.Parameter(torch.zeros(order, device=device))
        self.surm_circulant_r2[adapter_name] = nn.Parameter(r2)
        self.surm_circulant_alpha[adapter_name] = config.alpha
        self.surm_circulant_dropout[adapter_name] = nn.Dropout(config.dropout)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def column(self, adapter_name: str) -> Tensor:
        """α · r₁ ⊙ r₂, shape (max(out, in),)."""
        product: Tensor = self.surm_circulant_r1[adapter_name] * self.surm_circulant_r2[adapter_name]
        return product * self.surm_circulant_alpha[adapter_name]

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """ΔW x in O(N log N)."""
        return matvec(self.column(adapter_name), self.surm_circulant_dropout[adapter_name](x), self.out_features)

    @torch.no_grad()
    def get_delta_weight(self, adapter: str) -> Tensor:
        """ΔW, float32, shaped like the stored weight."""
        delta = dense(self.column(adapter).float(), self.out_features, self.in_features)
        return delta.T if self.transposed else delta


class CirculantModel(LinearTuner):
    """Ships r₁ ⊙ r₂ alone, under the name of r₁: an adapter without r₂ has it full of ones."""

    prefix = "surm_circulant_"
    tuner_layer_cls = CirculantLayer

    def _prepare_model(self, peft_config: CirculantConfig, model: nn.Module) -> None:
        self._generator = torch.Generator().manual_seed(peft_config.seed)

    def layer_arguments(self, name: str) -> dict[str, Any] | None:
        """One generator for all layers, in the model's order."""
        return {"generator": self._generator}

    @classmethod
    def _get_adapter_state_dict(cls, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._get_adapter_state_dict(*args, **kwargs)
        return {
            name: tensor * state[name.replace(_R1, _R2)] if _R1 in name else tensor
            for name, tensor in state.items()
            if _R2 not in name
        }

    @classmethod
    def _remap_adapter_state_dict_for_load(cls, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(*args, **kwargs)
        ones = {name.replace(_R1, _R2): torch.ones_like(tensor) for name, tensor in state.items() if _R1 in name}
        return {**state, **ones}


register("surm_circulant", CirculantConfig, CirculantModel)


class Circulant(Adapter[CirculantConfiguration]):
    """A product of two circulants."""

    name = "surm-circulant"

    def peft_config(self, configuration: CirculantConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """r₂ follows the training's seed."""
        return CirculantConfig(
            target_modules=target_names(configuration, inventory),
            alpha=configuration.alpha,
            dropout=configuration.dropout,
            seed=seed,
        )


ADAPTERS = (Circulant(),)
