"""An update added to the weight before the product gives what it gives beside the weight, and only where it may."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.trainables.surm_layers import CONFIGS, FAMILIES, adapted
from trainables.methods.surm import toeplitz
from trainables.methods.surm.layer import SurmLayer
from trainables.tuners.structured.circulant import correlation
from trainables.tuners.structured.circulant import dense as circulant


def result(layer: SurmLayer, x: Tensor, per_side: float) -> tuple[Tensor, dict[str, Tensor], str]:
    """The output, the gradients of x and of the adapter, and what the output came from."""
    inputs = x.clone().requires_grad_()
    leaves = {"x": inputs} | {name: one for name, one in layer.named_parameters() if one.requires_grad}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainables.methods.surm.layer.TOKENS_PER_SIDE", per_side)
        out = layer(inputs)
    found = torch.autograd.grad(out.square().sum(), list(leaves.values()))
    return out, dict(zip(leaves, found, strict=True)), out.grad_fn.name() if out.grad_fn else ""


@FAMILIES
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_the_output_and_all_gradients_are_those_of_an_update_beside_the_weight(name: str, data: st.DataObject) -> None:
    block = data.draw(st.sampled_from(["whole", 1, 3]))
    times = 1 if block == "whole" else block
    rows, columns = (times * data.draw(st.integers(1, 7 if block == "whole" else 3)) for _ in range(2))
    shared: dict[str, Any] = {
        "alpha": data.draw(st.sampled_from([1.0, 0.25])),
        "trainable_alpha": data.draw(st.booleans()),
    }
    layer = adapted(name, rows, columns, block_size=block, **shared, **data.draw(CONFIGS[name][1])).double()
    shape = (*data.draw(st.lists(st.integers(1, 3), max_size=2)), columns)
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toeplitz, "DENSE_ORDER", data.draw(st.sampled_from([0, 99])))
        out, gradients, made_by = result(layer, x, 0)
    expected, wanted, beside = result(layer, x, float("inf"))
    assert "ComposedProduct" in made_by
    assert "ComposedProduct" not in beside
    torch.testing.assert_close(out, expected)
    assert gradients.keys() == wanted.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[key], msg=lambda text, key=key: f"{key}: {text}")


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.integers(0, 3))
def test_a_correlation_is_the_gradient_of_a_circulant(tokens: int, rows: int, columns: int, more: int) -> None:
    order = max(rows, columns) + more
    outer, inner = torch.randn(tokens, rows, dtype=torch.float64), torch.randn(tokens, columns, dtype=torch.float64)
    column = torch.randn(order, dtype=torch.float64, requires_grad=True)
    value = (outer * (inner @ circulant(column, rows, columns).mT)).sum()
    (expected,) = torch.autograd.grad(value, column)
    torch.testing.assert_close(correlation(outer, inner, order), expected)


def with_two_adapters(layer: SurmLayer) -> None:
    layer.update_layer("other", layer.surm_settings["default"], generator=torch.Generator())
    layer.set_adapter(["default", "other"])


def trained_bias(layer: SurmLayer) -> None:
    layer.base_layer.bias.requires_grad_()


@pytest.mark.parametrize(
    ("values", "change", "tokens", "composed"),
    [
        ({}, lambda layer: None, 12, True),
        ({}, lambda layer: None, 11, False),
        ({"dropout": 0.1}, lambda layer: layer.eval(), 12, True),
        ({"dropout": 0.1}, lambda layer: layer.train(), 12, False),
        ({"placement": "adapter"}, lambda layer: None, 12, False),
        ({"transposed": True}, lambda layer: None, 12, False),
        ({}, lambda layer: layer.enable_adapters(False), 12, False),
        ({}, lambda layer: layer.merge(), 12, False),
        ({}, lambda layer: layer.base_layer.bfloat16(), 12, False),
        ({}, with_two_adapters, 12, False),
        ({}, trained_bias, 12, False),
    ],
)
def test_an_update_is_composed_where_that_changes_nothing(
    values: dict[str, Any], change: Callable[[SurmLayer], Any], tokens: int, composed: bool
) -> None:
    layer = adapted("surm-circulant", 5, 6, **values)
    change(layer)
    x = torch.randn(tokens, 6, dtype=layer.base_layer.weight.dtype, requires_grad=True)
    assert ("ComposedProduct" in layer(x).grad_fn.name()) == composed


@pytest.mark.parametrize("enabled", [True, False])
def test_lower_types_multiply_beside_the_weight(enabled: bool) -> None:
    layer = adapted("surm-circulant", 5, 6)
    with torch.autocast("cpu", torch.bfloat16) if enabled else nullcontext():
        made_by = layer(torch.randn(12, 6)).grad_fn.name()
    assert ("ComposedProduct" in made_by) != enabled


def test_a_frozen_factor_gets_no_gradient() -> None:
    layer = adapted("surm-ldr", 5, 6)
    layer.part("second")["default"].requires_grad_(False)
    out, gradients, made_by = result(layer, torch.randn(12, 6), 0)
    assert "ComposedProduct" in made_by
    assert not any("second" in name for name in gradients)
    assert out.isfinite().all()
