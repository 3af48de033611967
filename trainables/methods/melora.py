"""MELoRA (arXiv 2402.17263) as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from spaces.methods.melora import MeLoraConfiguration
from trainables.tuners.base import LinearConfig, LinearTuner, tuner
from trainables.tuners.low_rank import LowRankAdapter, LowRankLayer, diagonal


@dataclass
class MeLoraConfig(LinearConfig):
    """ΔW = scaling · blockdiag(B₁A₁ … BₖAₖ)."""

    rank: int = field(default=8, metadata={"help": "Rank of each group's update."})
    groups: int = field(default=2, metadata={"help": "Number of groups; divides both sides of every target."})
    scaling: float = field(default=2.0, metadata={"help": "α / rank."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of the update."})


class MeLoraLayer(LowRankLayer):
    """A linear layer with A of (groups, rank, in / groups) and B of (groups, out / groups, rank)."""

    adapter_layer_names = ("melora_A", "melora_B")
    other_param_names = ("melora_scaling", "melora_dropout")

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.melora_A = nn.ParameterDict()
        self.melora_B = nn.ParameterDict()
        self.melora_scaling: dict[str, float] = {}
        self.melora_dropout = nn.ModuleDict()

    def update_layer(self, adapter_name: str, config: MeLoraConfig, **kwargs: Any) -> None:
        """Add an adapter with each Aᵢ drawn as LoRA draws A, on the CPU, and B = 0.

        Raises:
            ValueError: when the groups do not divide the layer.
        """
        groups, device = config.groups, self.base_layer.weight.device
        if self.out_features % groups or self.in_features % groups:
            raise ValueError(f"groups = {groups}: does not divide {self.out_features} × {self.in_features}")
        bound = (groups / self.in_features) ** 0.5
        a = torch.empty(groups, config.rank, self.in_features // groups).uniform_(-bound, bound)
        b = torch.zeros(groups, self.out_features // groups, config.rank, device=device)
        self.melora_A[adapter_name] = nn.Parameter(a.to(device))
        self.melora_B[adapter_name] = nn.Parameter(b)
        self.melora_scaling[adapter_name] = config.scaling
        self.melora_dropout[adapter_name] = nn.Dropout(config.dropout)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return ΔW x, each group by itself."""
        a, b = self.melora_A[adapter_name], self.melora_B[adapter_name]
        parts = self.melora_dropout[adapter_name](x).to(a.dtype).unflatten(-1, (len(a), -1))
        update = torch.einsum("...gi,gri,gor->...go", parts, a, b)
        return update.flatten(-2) * self.melora_scaling[adapter_name]

    def factors(self, adapter: str) -> tuple[Tensor, Tensor]:
        """Return the factors of ΔW, of rank groups · rank."""
        a, b = (diagonal(parts[adapter].detach().float()) for parts in (self.melora_A, self.melora_B))
        return a, b * self.melora_scaling[adapter]


@tuner("melora", MeLoraConfig)
class MeLoraModel(LinearTuner):
    """The tuner of MELoRA; PyTorch's generator draws A."""

    prefix = "melora_"
    tuner_layer_cls = MeLoraLayer


class MeLora(LowRankAdapter[MeLoraConfiguration]):
    """An ensemble of small updates, which a LoRA of rank groups · rank can hold."""

    name = "melora"
    config = MeLoraConfig


ADAPTERS = (MeLora(),)
