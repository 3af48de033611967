"""Single layers with an adapter of each family of SURM."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from peft import get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from trainables.methods.surm.circulant import CirculantConfig
from trainables.methods.surm.kronecker import KroneckerConfig
from trainables.methods.surm.layer import SurmConfig, SurmLayer
from trainables.methods.surm.ldr import LowDisplacementRankConfig
from trainables.methods.surm.toeplitz import ToeplitzConfig

CONFIGS: dict[str, tuple[type[SurmConfig], st.SearchStrategy[dict[str, Any]]]] = {
    "surm-circulant": (CirculantConfig, st.just({})),
    "surm-toeplitz": (ToeplitzConfig, st.fixed_dictionaries({"symmetric": st.booleans()})),
    "surm-kronecker": (KroneckerConfig, st.fixed_dictionaries({"factors": st.sampled_from(["paper", "square"])})),
    "surm-ldr": (LowDisplacementRankConfig, st.just({"displacement_rank": 1})),
}
FAMILIES = pytest.mark.parametrize("name", CONFIGS)


def line(rows: int, columns: int, transposed: bool = False) -> nn.Module:
    torch.manual_seed(rows * 10 + columns)
    return nn.ModuleDict({"line": Conv1D(rows, columns) if transposed else nn.Linear(columns, rows)})


def adapted(name: str, rows: int, columns: int, transposed: bool = False, **values: Any) -> SurmLayer:
    """A layer all of whose parameters are random."""
    config = CONFIGS[name][0](target_modules=["line"], seed=3, **values)
    layer = get_peft_model(line(rows, columns, transposed), config).base_model.model["line"]
    assert isinstance(layer, SurmLayer)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for path, parameter in layer.named_parameters():
            if not path.startswith("base_layer"):
                parameter.normal_(generator=generator)
    return layer
