"""LoRA (arXiv 2106.09685) and its variants, by PEFT's own tuner, or by ours where it starts at a part of the weight."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn

from spaces.methods.base.layer_method import Layers
from spaces.methods.lora import LoraConfiguration
from spaces.model.inventory import Inventory, select
from trainables.methods.lora.decomposed import DecomposedLoraConfig
from trainables.tuners.adapter import ParameterGroup, StockForm, target_names
from trainables.tuners.low_rank import lora_form
from trainables.tuners.peft_method import LayerAdapter, transposed


class Lora(LayerAdapter[LoraConfiguration]):
    """A low-rank update; `attach` seeds the initial values."""

    name = "lora"
    config = LoraConfig

    def peft_config(self, configuration: LoraConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Return PEFT's config, or that of our tuner if the first product is a part of the weight."""
        if not configuration.decomposed:
            return super().peft_config(configuration, inventory, seed)
        usual, others = _ranks(configuration, select(inventory, configuration.targets, configuration.layers))
        return DecomposedLoraConfig(
            target_modules=target_names(configuration, inventory),
            start=configuration.init,
            rank=usual,
            ranks=others,
            scaling=configuration.scaling,
            rank_stabilized=configuration.variant == "rslora",
            dropout=configuration.dropout,
        )

    def settings(self, configuration: LoraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Turn the scaling into `lora_alpha`: PEFT scales by `lora_alpha` / r, or by `lora_alpha` / √r for rsLoRA."""
        usual, others = _ranks(configuration, layers)
        return {
            "r": usual,
            "lora_alpha": configuration.scaling * usual,
            "rank_pattern": {re.escape(name): rank for name, rank in others.items()},
            "alpha_pattern": {re.escape(name): configuration.scaling * rank for name, rank in others.items()},
            "lora_dropout": configuration.dropout,
            "use_rslora": configuration.variant == "rslora",
            "use_dora": configuration.variant == "dora",
            "fan_in_fan_out": transposed(layers),
        }

    @torch.no_grad()
    def initialise(self, model: PeftModel, configuration: LoraConfiguration) -> None:
        """Draw A and B with B A = 0 for `orthogonal`, as PEFT does, but not rounded to the type of the weight."""
        for layer in model.modules() if configuration.init == "orthogonal" else ():
            if isinstance(layer, LoraLayer):
                a, b = layer.lora_A[model.active_adapter].weight, layer.lora_B[model.active_adapter].weight
                rank = len(a)
                q, _ = torch.linalg.qr(torch.randn(rank, rank))
                a.copy_((torch.randn(layer.in_features, rank // 2) @ q[0::2]).T / 10)
                b.copy_(torch.randn(rank // 2, layer.out_features).T @ q[1::2] / 10)

    def groups(self, configuration: LoraConfiguration, parameters: Mapping[str, nn.Parameter]) -> list[ParameterGroup]:
        """Train B at `plus_ratio` times the rate of the rest (LoRA+, arXiv 2402.12354)."""
        fast = [parameter for name, parameter in parameters.items() if "lora_B." in name]
        slow = [parameter for name, parameter in parameters.items() if "lora_B." not in name]
        rate = configuration.learning_rate
        return [{"params": slow, "lr": rate}, {"params": fast, "lr": rate * configuration.plus_ratio}]

    def stock(self, model: PeftModel, configuration: LoraConfiguration) -> StockForm:
        """Return the adapter as it is, or LoRA of twice the rank if the first product is subtracted from it."""
        return lora_form(model) if configuration.decomposed else super().stock(model, configuration)


def _ranks(configuration: LoraConfiguration, layers: Layers) -> tuple[int, dict[str, int]]:
    """Return the rank of the first layer, and by name that of each layer with another one."""
    usual = configuration.rank_of(layers[0])
    return usual, {one.name: rank for one in layers if (rank := configuration.rank_of(one)) != usual}


ADAPTERS = (Lora(),)
