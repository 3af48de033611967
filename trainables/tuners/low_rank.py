"""Updates of low rank, and their form as a LoRA adapter that PEFT loads without our code."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from typing import ClassVar, TypeVar

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import Inventory
from trainables.tuners.adapter import Adapter, StockForm, method_settings, target_names
from trainables.tuners.additive import AdditiveLayer
from trainables.tuners.base import LinearConfig

PREFIX = "base_model.model."  # of every name inside a PEFT model


P = TypeVar("P", bound=PlacedConfiguration)


class LowRankAdapter(Adapter[P]):
    """A method of our own whose layers are `LowRankLayer`s.

    The fields of its `config` have the names of the settings in `spaces`.
    """

    config: ClassVar[type[LinearConfig]]

    def peft_config(self, configuration: P, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the chosen layers; `attach` seeds the initial values."""
        return self.config(target_modules=target_names(configuration, inventory), **method_settings(configuration))

    def stock(self, model: PeftModel, configuration: P) -> StockForm:
        """Return LoRA with the same update."""
        return lora_form(model)


class LowRankLayer(AdditiveLayer):
    """A linear layer whose update is known as a product of two factors."""

    @abstractmethod
    def factors(self, adapter: str) -> tuple[Tensor, Tensor]:
        """Return A of shape (rank, in) and B of shape (out, rank), float32, with ΔW = B A."""

    @torch.no_grad()
    def get_delta_weight(self, adapter: str) -> Tensor:
        """Return ΔW, float32, in the shape of the stored weight."""
        a, b = self.factors(adapter)
        return (b @ a).T if self.transposed else b @ a


@torch.no_grad()
def lora_form(model: PeftModel) -> StockForm:
    """Return the active adapter of `model`, whose layers are `LowRankLayer`s, as LoRA.

    Ranks may differ between layers.
    """
    adapter = model.active_adapter
    ranks: dict[str, int] = {}
    tensors: dict[str, Tensor] = {}
    transposed = False
    for path, layer in model.named_modules():
        if isinstance(layer, LowRankLayer) and adapter in layer._parameters_by_adapter():
            a, b = layer.factors(adapter)
            ranks[path.removeprefix(PREFIX)] = len(a)
            tensors[f"{path}.lora_A.weight"], tensors[f"{path}.lora_B.weight"] = a.contiguous(), b.contiguous()
            transposed |= isinstance(layer.base_layer, Conv1D)
    ((usual, _),) = Counter(ranks.values()).most_common(1)
    other = {re.escape(name): rank for name, rank in ranks.items() if rank != usual}
    # α equals the rank everywhere, because B holds the scale.
    lora = LoraConfig(
        r=usual,
        lora_alpha=usual,
        rank_pattern=other,
        alpha_pattern=dict(other),
        target_modules=list(ranks),
        fan_in_fan_out=transposed,
    )
    return StockForm(lora, tensors)


def diagonal(blocks: Tensor) -> Tensor:
    """Return `blocks`, shape (k, rows, columns), on the diagonal of a matrix of (k · rows, k · columns)."""
    matrix: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return matrix
