"""Small models with a SpaRTA adapter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from peft import PeftModel, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from spaces.methods.registry import configuration
from tests.trainables.tiny_models import ALL, BERT, CAUSAL_GPT2, Tiny
from trainables.adapters.attach import attach
from trainables.methods.sparta import SpartaConfig, SpartaLayer
from trainables.tuners.sparse.module import SparseModule

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))
DENSITIES = st.floats(0.05, 1.0)
EVERYTHING = {"parameters": "all", "density": 0.2, "indices": "seed"}
FAMILIES = pytest.mark.parametrize("tiny", ALL, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
TIED = pytest.mark.parametrize("tiny", [BERT, CAUSAL_GPT2], ids=lambda tiny: tiny.family)


class Lines(nn.Module):
    """Two linear layers, one of which stores its weight the other way."""

    def __init__(self, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(rows * 10 + columns)
        self.first = nn.Linear(columns, rows, dtype=dtype)
        self.second = Conv1D(columns, rows).to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(torch.tanh(self.first(x)))
        return out


def adapted(model: nn.Module, density: float = 0.4, **settings: object) -> PeftModel:
    return get_peft_model(
        model,
        SpartaConfig(target_modules=["first", "second"], density=density, **settings),  # type: ignore[arg-type]
    )


def layers(model: nn.Module) -> dict[str, SpartaLayer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, SpartaLayer)}


def randomise(model: nn.Module, scale: float = 0.3) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for layer in layers(model).values():
            for delta in layer.deltas.values():
                delta.copy_(torch.randn(delta.shape, generator=generator) * scale)


def of_everything(tiny: Tiny, **values: Any) -> PeftModel:
    chosen = configuration("sparta", EVERYTHING | values)
    return attach(tiny.model(), "sparta", chosen, tiny.inventory, seed=1)


def units(model: PeftModel) -> dict[str, SparseModule]:
    """The adapted modules that hold deltas, by their names in the base."""
    return {
        name: module
        for name, module in model.base_model.model.named_modules()
        if isinstance(module, SparseModule) and module.deltas
    }
