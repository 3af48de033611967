"""LoRTA (arXiv 2410.04060) as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from spaces.methods.lorta import LortaConfiguration
from trainables.base_model.architectures import kind_of
from trainables.tuners.base import LinearConfig, tuner
from trainables.tuners.blocks import block_of
from trainables.tuners.low_rank import LowRankAdapter, LowRankLayer
from trainables.tuners.tied_parameters import TiedLayer, TiedTuner


@dataclass
class LortaConfig(LinearConfig):
    """ΔW = scaling · A diag(C_head ⊙ C_kind ⊙ C_block) B, side by side for every head."""

    rank: int = field(default=8, metadata={"help": "Number of terms."})
    heads: int = field(default=4, metadata={"help": "Equal parts of the input features."})
    scaling: float = field(default=1.0, metadata={"help": "α / rank."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of the update."})


class LortaLayer(TiedLayer, LowRankLayer):
    """A linear layer with A of (out, rank), B of (rank, in / heads) and C, all tied to those of other layers."""

    adapter_layer_names = ("lorta_A", "lorta_B", "lorta_heads", "lorta_kind", "lorta_block")
    other_param_names = ("lorta_scaling", "lorta_dropout")

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ParameterDict())
        self.lorta_scaling: dict[str, float] = {}
        self.lorta_dropout = nn.ModuleDict()

    def update_layer(self, adapter_name: str, config: LortaConfig, **kwargs: Any) -> None:
        """Add an adapter with B = 0 and the rest as the published code draws it, on the CPU.

        Args:
            adapter_name: its name.
            config: its settings.
            kwargs: the `store` of tied parameters, and the `kind` and the `block` of this layer.

        Raises:
            ValueError: when the heads do not divide the input features.
        """
        rank, heads, device = config.rank, config.heads, self.base_layer.weight.device
        if self.in_features % heads:
            raise ValueError(f"heads = {heads}: does not divide {self.in_features} input features")

        def draw(bound: float, *shape: int) -> Tensor:
            return torch.empty(shape).uniform_(-bound, bound).to(device)

        narrow, wide = rank**-0.5, (6 / rank) ** 0.5
        for attribute, key, make in (
            ("lorta_A", self.out_features, lambda: draw(narrow, self.out_features, rank)),
            ("lorta_B", self.in_features, lambda: torch.zeros(rank, self.in_features // heads, device=device)),
            ("lorta_heads", None, lambda: draw(wide, heads, rank)),
            ("lorta_kind", kwargs["kind"], lambda: draw(wide, rank)),
            ("lorta_block", kwargs["block"], lambda: draw(wide, rank)),
        ):
            self.tie(adapter_name, kwargs["store"], attribute, (attribute, key), make)
        self.lorta_scaling[adapter_name] = config.scaling
        self.lorta_dropout[adapter_name] = nn.Dropout(config.dropout)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return ΔW x, computed through the rank."""
        a, b, heads, weights = self._factors(adapter_name)
        parts = self.lorta_dropout[adapter_name](x).to(a.dtype).unflatten(-1, (len(heads), -1))
        inner = torch.einsum("...hd,rd,hr->...r", parts, b, heads)
        return (inner * weights) @ a.T

    def factors(self, adapter: str) -> tuple[Tensor, Tensor]:
        """Return the factors of ΔW, with the heads side by side in A."""
        a, b, heads, weights = (one.detach().float() for one in self._factors(adapter))
        return (heads.T.unsqueeze(2) * b.unsqueeze(1)).flatten(1), a * weights

    def _factors(self, adapter: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return A, B, C_head, and scaling · C_kind ⊙ C_block."""
        a, b, heads, kind, block = (getattr(self, name)[adapter] for name in self.adapter_layer_names)
        return a, b, heads, kind * block * self.lorta_scaling[adapter]


@tuner("lorta", LortaConfig)
class LortaModel(TiedTuner):
    """The tuner of LoRTA. Layers of one kind or one block tie their parameters."""

    prefix = "lorta_"
    tuner_layer_cls = LortaLayer

    def layer_arguments(self, name: str) -> dict[str, Any]:
        """Return the kind and the block of a layer, which follow from its name."""
        block = block_of(name)
        return {"store": self._store, "kind": kind_of(name.removeprefix(f"{block}.")), "block": block}


class Lorta(LowRankAdapter[LortaConfiguration]):
    """One tensor decomposition for the updates of all layers."""

    name = "lorta"
    config = LortaConfig


ADAPTERS = (Lorta(),)
