"""LoRA-XS, MELoRA, ETHER, ETHER+ and the Hadamard adapter compute what their papers' formulas say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from torch import nn

from tests.trainables.related_layers import UNITS, Matrix, adapted, array, check_weight, weight_of
from tests.trainables.short_trainings import attached, train
from tests.trainables.tiny_models import BERT, Tiny
from trainables.methods._reflections import EtherConfig
from trainables.methods.hadamard import HadamardConfig, HadamardLayer
from trainables.methods.lora_xs import LoraXsConfig, LoraXsLayer, fingerprint, leading
from trainables.methods.melora import MeLoraConfig
from trainables.tuners.additive import AdditiveLayer


@given(UNITS, UNITS, st.integers(1, 3), st.integers(1, 2), st.booleans())
@settings(max_examples=40, deadline=None)
def test_melora_is_a_block_diagonal_of_products(
    rows: int, columns: int, groups: int, rank: int, transposed: bool
) -> None:
    config = MeLoraConfig(rank=rank, groups=groups, scaling=0.5)
    layer = adapted(rows * groups, columns * groups, transposed, config)
    a, b = array(layer.melora_A["default"]), array(layer.melora_B["default"])
    update = scipy.linalg.block_diag(*(b[group] @ a[group] for group in range(groups)))
    check_weight(layer, weight_of(layer) + 0.5 * update)


@given(UNITS, UNITS, st.integers(1, 3), st.sampled_from(["input", "output", "both"]), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_ether_multiplies_the_weight_by_reflections(
    rows: int, columns: int, blocks: int, side: Any, relaxed: bool, transposed: bool
) -> None:
    layer = adapted(rows * blocks, columns * blocks, transposed, EtherConfig(side=side, blocks=blocks, relaxed=relaxed))
    vectors = array(layer.ether_vectors["default"])

    def reflection(part: Matrix) -> Matrix:
        """From vectors of (1 or 2, width)."""
        squares = []
        for block in np.split(part, blocks, axis=1):
            u, *v = (one / np.linalg.norm(one) for one in block)
            square = np.eye(len(u)) - (1 if relaxed else 2) * np.outer(u, u)
            squares.append(square + np.outer(v[0], v[0]) if relaxed else square)
        return scipy.linalg.block_diag(*squares)

    width = columns * blocks if side != "output" else 0
    expected = weight_of(layer)
    if side != "output":
        expected = expected @ reflection(vectors[:, :width])
    if side != "input":
        expected = reflection(vectors[:, width:]) @ expected
    check_weight(layer, expected)


def test_ether_starts_away_from_the_base_and_ether_plus_on_it() -> None:
    base = BERT.logits(BERT.model())
    assert torch.equal(BERT.logits(attached(BERT, "ether-plus")), base)
    model = attached(BERT, "ether")
    assert not torch.allclose(BERT.logits(model), base, atol=1e-5)
    for layer in model.modules():
        if isinstance(layer, AdditiveLayer):  # a reflection keeps lengths
            turned = layer.base_layer.weight + layer.get_delta_weight("default")
            torch.testing.assert_close(turned.norm(), layer.base_layer.weight.norm())


@given(UNITS, UNITS, st.booleans(), st.data())
@settings(max_examples=40, deadline=None)
def test_lora_xs_stands_between_the_leading_singular_vectors(
    rows: int, columns: int, transposed: bool, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(1, min(rows, columns)))
    layer = adapted(rows, columns, transposed, LoraXsConfig(rank=rank, scaling=0.5))
    weight = weight_of(layer)
    left, values, right = np.linalg.svd(weight)
    signs = np.sign(right[:rank] @ np.cos(np.arange(1, columns + 1)))
    a = signs[:, None] * values[:rank, None] * right[:rank]
    b = left[:, :rank] * signs
    check_weight(layer, weight + 0.5 * b @ array(layer.lora_xs_R["default"]) @ a)
    assert not layer.lora_xs_A["default"].requires_grad


def test_singular_vectors_are_computed_once_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 6), requires_grad=False)
    first = leading(weight, 4)
    monkeypatch.setattr(torch.linalg, "svd", None)
    for rank in (4, 2):
        left, right = leading(weight, rank)
        assert torch.equal(left, first[0][:, :rank])
        assert torch.equal(right, first[1][:rank])
    with pytest.raises(TypeError):
        leading(nn.Parameter(weight.detach().clone()), 4)


def test_the_fingerprint_survives_rounding_and_tells_other_vectors_apart() -> None:
    torch.manual_seed(0)
    weight = torch.randn(64, 48)
    found = fingerprint(*leading(weight, 16))
    rounded = weight + 1e-6 * torch.randn(64, 48)
    assert (found - fingerprint(*leading(rounded, 16))).abs().max() <= 10
    for other in (torch.randn(64, 48), weight.flip(0), weight.flip(1)):
        assert (found - fingerprint(*leading(other, 16))).abs().max() > 100


def test_lora_xs_refuses_another_base(tmp_path: Any) -> None:
    train(BERT, attached(BERT, "lora-xs"), "lora-xs").save_pretrained(tmp_path)
    other = BERT.model()
    for name, parameter in list(other.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        setattr(other.get_submodule(owner), leaf, nn.Parameter(parameter.detach().flip(0) * 1.5))
    with pytest.raises(ValueError, match="has other singular vectors than the one the adapter was trained on"):
        PeftModel.from_pretrained(other, tmp_path)


def test_lora_xs_ships_the_small_matrix_alone(tmp_path: Any) -> None:
    model = attached(BERT, "lora-xs")
    model.save_pretrained(tmp_path)
    layers = [module for module in model.modules() if isinstance(module, LoraXsLayer)]
    saved = {name: tensor for name, tensor in load_file(tmp_path / "adapter_model.safetensors").items() if "xs" in name}
    floating = [tensor for tensor in saved.values() if tensor.is_floating_point()]
    assert {tuple(tensor.shape) for tensor in floating} == {(4, 4)}
    assert len(floating) == len(layers) == len(saved) - len(layers)


@given(UNITS, UNITS, st.booleans())
@settings(max_examples=20, deadline=None)
def test_hadamard_scales_and_shifts_the_output(rows: int, columns: int, transposed: bool) -> None:
    layer = adapted(rows, columns, transposed, HadamardConfig())
    gain, shift = array(layer.hadamard_gain["default"]), array(layer.hadamard_shift["default"])
    weight, before = layer.base_layer.weight, layer.base_layer.bias
    bias = gain * array(before) + shift
    check_weight(layer, gain[:, None] * weight_of(layer), bias)
    for _ in range(2):
        layer.merge(safe_merge=True)
        np.testing.assert_allclose(array(layer.base_layer.bias), bias, atol=1e-5)
        layer.unmerge()
        assert layer.base_layer.bias is before
        assert layer.base_layer.weight is weight


def test_hadamard_refuses_to_merge_a_bias_that_is_not_finite() -> None:
    layer = adapted(3, 2, False, HadamardConfig())
    weight = layer.base_layer.weight
    with torch.no_grad():
        layer.hadamard_shift["default"].fill_(float("inf"))
    with pytest.raises(ValueError, match="biases that are not finite"):
        layer.merge(safe_merge=True)
    assert not layer.merged
    assert layer.base_layer.weight is weight


def test_hadamard_gives_a_projection_without_bias_no_shift() -> None:
    tiny = Tiny("llama", BERT.task)
    layers = [module for module in attached(tiny, "hadamard").modules() if isinstance(module, HadamardLayer)]
    assert len(layers) == 2
    assert all(not layer.hadamard_shift for layer in layers)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoraXsConfig(rank=5), "rank = 5: the weight is 4 × 6; allowed: at most 4"),
        (MeLoraConfig(groups=3), "groups = 3: does not divide 4 × 6"),
        (EtherConfig(blocks=4), "blocks = 4: does not divide 6 features"),
    ],
)
def test_what_does_not_fit_the_layer_is_refused(config: PeftConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapted(4, 6, False, config)
