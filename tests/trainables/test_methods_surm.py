"""SURM's circulant: the update is the dense circulant's, and its product alone is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from spaces.registry import configuration
from tests.trainables.test_methods_conformance import train
from tests.trainables.tiny_models import BERT
from trainables.attach import attach
from trainables.methods.surm import CirculantConfig, CirculantLayer

SIZES = st.integers(1, 7)


def line(rows: int, columns: int, transposed: bool) -> nn.Module:
    torch.manual_seed(rows * 10 + columns)
    return nn.ModuleDict({"line": Conv1D(rows, columns) if transposed else nn.Linear(columns, rows)})


def adapted(
    rows: int, columns: int, transposed: bool = False, alpha: float = 1.0, dropout: float = 0.0
) -> CirculantLayer:
    """A layer with random r₁."""
    config = CirculantConfig(target_modules=["line"], alpha=alpha, dropout=dropout, seed=3)
    layer = get_peft_model(line(rows, columns, transposed), config).base_model.model["line"]
    assert isinstance(layer, CirculantLayer)
    with torch.no_grad():
        layer.surm_circulant_r1["default"].normal_(generator=torch.Generator().manual_seed(1))
    return layer


@given(SIZES, SIZES, st.booleans(), st.sampled_from([1.0, 0.25]))
@settings(max_examples=60, deadline=None)
def test_the_update_is_scipys_circulant(rows: int, columns: int, transposed: bool, alpha: float) -> None:
    layer = adapted(rows, columns, transposed, alpha)
    r1, r2 = (part["default"].detach() for part in (layer.surm_circulant_r1, layer.surm_circulant_r2))
    assert len(r1) == len(r2) == max(rows, columns)
    # The Hadamard product of two circulants.
    product = scipy.linalg.circulant(r1.numpy()) * scipy.linalg.circulant(r2.numpy())
    expected = alpha * product[:rows, :columns]
    stored = expected.T if transposed else expected
    np.testing.assert_allclose(layer.get_delta_weight("default").numpy(), stored, atol=1e-6)
    x = torch.randn(3, columns, generator=torch.Generator().manual_seed(2))
    update = layer(x) - layer.base_layer(x)
    np.testing.assert_allclose(update.detach().numpy(), x.numpy() @ expected.T, atol=1e-5)


def test_it_starts_at_zero_with_a_random_second_factor() -> None:
    config = CirculantConfig(target_modules=["query", "key"], seed=3)
    model = get_peft_model(BERT.model(), config)
    layers = [module for module in model.modules() if isinstance(module, CirculantLayer)]
    assert all(not layer.surm_circulant_r1["default"].any() for layer in layers)
    second = torch.cat([layer.surm_circulant_r2["default"].detach() for layer in layers])
    assert len(second.unique()) == len(second)
    assert abs(float(second.mean())) < 0.5
    assert 0.7 < float(second.std()) < 1.3


def test_the_product_alone_is_shipped(tmp_path: Path) -> None:
    model = attach(BERT.model(), "surm-circulant", configuration("surm-circulant", {}), BERT.inventory, seed=1)
    train(BERT, model, "surm-circulant")
    model.save_pretrained(tmp_path)
    saved = {name: t for name, t in load_file(tmp_path / "adapter_model.safetensors").items() if "surm" in name}
    loaded = PeftModel.from_pretrained(BERT.model(), tmp_path, is_trainable=True)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, CirculantLayer)}
    assert saved.keys() == {f"{name}.surm_circulant_r1" for name in layers}
    for name, layer in layers.items():
        product = (layer.surm_circulant_r1["default"] * layer.surm_circulant_r2["default"]).detach()
        assert torch.equal(saved[f"{name}.surm_circulant_r1"], product)
        other = loaded.get_submodule(name)
        assert torch.equal(other.surm_circulant_r1["default"], product)
        assert torch.equal(other.surm_circulant_r2["default"], torch.ones_like(product))
        assert other.surm_circulant_r2["default"].requires_grad


def test_two_active_adapters_add_up() -> None:
    model = get_peft_model(line(5, 4, False), CirculantConfig(target_modules=["line"], seed=1))
    model.add_adapter("other", CirculantConfig(target_modules=["line"], seed=2, alpha=0.5))
    layer = model.base_model.model["line"]
    with torch.no_grad():
        for parameter in layer.surm_circulant_r1.values():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    model.base_model.set_adapter(["default", "other"])
    x = torch.ones(2, 4)
    deltas = layer.get_delta_weight("default") + layer.get_delta_weight("other")
    expected = x @ (layer.base_layer.weight + deltas).T + layer.base_layer.bias
    torch.testing.assert_close(layer(x), expected)
    model.merge_adapter()
    torch.testing.assert_close(layer(x), expected)


def test_merging_leaves_the_parameter_of_the_base_alone() -> None:
    layer = adapted(4, 4)
    weight = layer.base_layer.weight
    before = weight.clone()
    layer.merge()
    assert layer.base_layer.weight is not weight
    assert torch.equal(weight, before)
    layer.unmerge()
    assert layer.base_layer.weight is weight


@pytest.mark.parametrize("training", [False, True])
def test_dropout_acts_while_training_alone(training: bool) -> None:
    layer = adapted(8, 8, dropout=0.5).train(training)
    x = torch.ones(1, 8)
    torch.manual_seed(0)
    update = layer(x) - layer.base_layer(x)
    undisturbed = x @ layer.get_delta_weight("default").T
    assert torch.allclose(update, undisturbed, atol=1e-5) is not training
