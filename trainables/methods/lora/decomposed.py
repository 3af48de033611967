"""LoRA that starts at a part of the weight: PiSSA (arXiv 2404.02948) and OLoRA (arXiv 2406.01775), as a PEFT tuner.

PEFT subtracts the first product from the base's weight. Here the first factors are kept beside the trained ones and
their product is subtracted from the output, so that the base, which may be shared or quantised, is never written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from peft.tuners._buffer_dict import BufferDict
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables.tuners.base import LinearConfig, LinearTuner, tuner
from trainables.tuners.low_rank import LowRankLayer


@torch.no_grad()
def principal(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return √Σᵣ Vᵣᵀ of (rank, in) and Uᵣ √Σᵣ of (out, rank), float32, for a weight of (out, in); PiSSA's start."""
    left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
    roots = values[:rank].sqrt()
    return (roots[:, None] * right[:rank]).float(), (left[:, :rank] * roots).float()


@torch.no_grad()
def orthonormal(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return `rank` rows of R and columns of Q, float32, with W = Q R for a weight of (out, in); OLoRA's start."""
    q, r = torch.linalg.qr(weight.double())
    return r[:rank].float(), q[:, :rank].float()


_STARTS: Mapping[str, tuple[Callable[[Tensor, int], tuple[Tensor, Tensor]], bool]] = {
    "pissa": (principal, True),
    "olora": (orthonormal, False),
}
"""The first factors of a weight, and whether their product is divided by the scale, so that it is a part of W."""


@dataclass
class DecomposedLoraConfig(LinearConfig):
    """ΔW = scale · (B A - B₀ A₀), where A and B start at A₀ and B₀."""

    start: str = field(default="pissa", metadata={"help": "The first factors: pissa or olora."})
    rank: int = field(default=8, metadata={"help": "Rank of B A, but for layers with another one."})
    ranks: dict[str, int] = field(default_factory=dict, metadata={"help": "Ranks of other layers, by full name."})
    scaling: float = field(default=2.0, metadata={"help": "α / rank."})
    rank_stabilized: bool = field(default=False, metadata={"help": "Scale by α / √rank in place of α / rank."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of B A."})


class DecomposedLoraLayer(LowRankLayer):
    """A linear layer with trained A of (rank, in) and B of (out, rank), and their first values."""

    adapter_layer_names = ("decomposed_lora_A", "decomposed_lora_B")
    other_param_names = (
        "decomposed_lora_start_A",
        "decomposed_lora_start_B",
        "decomposed_lora_scale",
        "decomposed_lora_dropout",
    )

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.decomposed_lora_A = nn.ParameterDict()
        self.decomposed_lora_B = nn.ParameterDict()
        self.decomposed_lora_start_A = BufferDict(persistent=True)
        self.decomposed_lora_start_B = BufferDict(persistent=True)
        self.decomposed_lora_scale: dict[str, float] = {}
        self.decomposed_lora_dropout = nn.ModuleDict()

    def update_layer(self, adapter_name: str, config: DecomposedLoraConfig, target: str = "", **kwargs: Any) -> None:
        """Add an adapter with A = A₀ and B = B₀, which changes nothing."""
        weight, rank = self.pretrained("weight").detach(), config.ranks.get(target, config.rank)
        scale = config.scaling * (math.sqrt(rank) if config.rank_stabilized else 1.0)
        factors, divided = _STARTS[config.start]
        a, b = factors(weight.T if self.transposed else weight, rank)
        if divided:
            a, b = a / math.sqrt(scale), b / math.sqrt(scale)
        device = self.base_layer.weight.device
        self.decomposed_lora_start_A[adapter_name], self.decomposed_lora_start_B[adapter_name] = (
            a.contiguous().to(device),
            b.contiguous().to(device),
        )
        self.decomposed_lora_A[adapter_name] = nn.Parameter(a.clone().contiguous().to(device))
        self.decomposed_lora_B[adapter_name] = nn.Parameter(b.clone().contiguous().to(device))
        self.decomposed_lora_scale[adapter_name] = scale
        self.decomposed_lora_dropout[adapter_name] = nn.Dropout(config.dropout)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return ΔW x. The first product sees x without dropout, as it does in PEFT's weight."""
        a, b = self.decomposed_lora_A[adapter_name], self.decomposed_lora_B[adapter_name]
        x = x.to(a.dtype)
        now = self.decomposed_lora_dropout[adapter_name](x) @ a.T @ b.T
        then = x @ self.decomposed_lora_start_A[adapter_name].T @ self.decomposed_lora_start_B[adapter_name].T
        update: Tensor = (now - then) * self.decomposed_lora_scale[adapter_name]
        return update

    def factors(self, adapter: str) -> tuple[Tensor, Tensor]:
        """Return the factors of ΔW, of twice the rank."""
        a = self.decomposed_lora_A[adapter].detach().float(), self.decomposed_lora_start_A[adapter].float()
        b = self.decomposed_lora_B[adapter].detach().float(), -self.decomposed_lora_start_B[adapter].float()
        return torch.cat(a), torch.cat(b, dim=1) * self.decomposed_lora_scale[adapter]


@tuner("decomposed_lora", DecomposedLoraConfig)
class DecomposedLoraModel(LinearTuner):
    """The tuner. It ships the first factors too, so that loading need not compute them as exactly again."""

    prefix = "decomposed_lora_"
    tuner_layer_cls = DecomposedLoraLayer

    def layer_arguments(self, name: str) -> dict[str, Any]:
        """Return the name of the target, by which its rank is found."""
        return {"target": name}
