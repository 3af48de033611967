"""Models with a LoRTA adapter."""

from __future__ import annotations

from torch import nn

from trainables.methods.lorta import LortaLayer

FACTORS = LortaLayer.adapter_layer_names


def layers(model: nn.Module) -> dict[str, LortaLayer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LortaLayer)}


def held(model: nn.Module, adapter: str = "default") -> list[set[nn.Parameter]]:
    """For each factor, the different parameters that layers hold."""
    return [{getattr(layer, name)[adapter] for layer in layers(model).values()} for name in FACTORS]
