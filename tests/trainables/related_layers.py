"""Single layers with an adapter of one of the methods related to LoRA."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import strategies as st
from peft import PeftConfig, get_peft_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables.tuners.additive import AdditiveLayer

Matrix = npt.NDArray[np.float64]


UNITS = st.integers(1, 3)


def adapted(rows: int, columns: int, transposed: bool, config: PeftConfig) -> Any:
    """A layer of (rows, columns) with an adapter whose parameters are random."""
    torch.manual_seed(rows * 10 + columns)
    line = Conv1D(rows, columns) if transposed else nn.Linear(columns, rows)
    nn.init.normal_(line.weight)
    nn.init.normal_(line.bias)
    config.target_modules = ["line"]
    layer = get_peft_model(nn.ModuleDict({"line": line}), config).base_model.model["line"]
    with torch.no_grad():
        for name in layer.adapter_layer_names:
            for parameter in getattr(layer, name).values():
                parameter.normal_()
    return layer


def array(tensor: Tensor) -> Matrix:
    return tensor.detach().double().numpy()


def weight_of(layer: AdditiveLayer) -> Matrix:
    weight = array(layer.base_layer.weight)
    return weight.T if layer.transposed else weight


def check_weight(layer: AdditiveLayer, expected: Matrix, bias: Matrix | None = None) -> None:
    """The layer computes with `expected` in place of its weight, and says so."""
    x = torch.randn(2, 3, layer.in_features)
    bias = array(layer.base_layer.bias) if bias is None else bias
    np.testing.assert_allclose(array(layer(x)), array(x) @ expected.T + bias, atol=2e-4)
    delta = array(layer.get_delta_weight("default"))
    np.testing.assert_allclose(delta.T if layer.transposed else delta, expected - weight_of(layer), atol=2e-4)
