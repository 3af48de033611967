"""Circulants against SciPy and dense autograd."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.structured.circulant import dense, matvec

SIZES = st.integers(1, 9)
BATCHES = st.lists(st.integers(1, 3), max_size=2).map(tuple)


def example(rows: int, columns: int, batch: tuple[int, ...], extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows * 100 + columns)
    order = max(rows, columns) + extra
    column = torch.randn(order, generator=generator, dtype=torch.float64)
    return column, torch.randn(*batch, columns, generator=generator, dtype=torch.float64)


@given(SIZES, SIZES, st.integers(0, 2))
def test_dense_is_the_upper_left_part_of_scipys(rows: int, columns: int, extra: int) -> None:
    column, _ = example(rows, columns, (), extra)
    expected = scipy.linalg.circulant(column.numpy())[:rows, :columns]
    np.testing.assert_array_equal(dense(column, rows, columns).numpy(), expected)


@given(SIZES, SIZES, BATCHES, st.integers(0, 2))
def test_matvec_is_the_dense_product(rows: int, columns: int, batch: tuple[int, ...], extra: int) -> None:
    column, x = example(rows, columns, batch, extra)
    expected = x.numpy() @ scipy.linalg.circulant(column.numpy())[:rows, :columns].T
    product = matvec(column, x, rows)
    assert product.shape == (*batch, rows)
    np.testing.assert_allclose(product.numpy(), expected, atol=1e-12)


@given(SIZES, SIZES, BATCHES)
def test_gradients_are_those_of_the_dense_product(rows: int, columns: int, batch: tuple[int, ...]) -> None:
    column, x = example(rows, columns, batch)
    leaves = [tensor.requires_grad_() for tensor in (column, x)]
    fast = torch.autograd.grad(matvec(column, x, rows).square().sum(), leaves)
    slow = torch.autograd.grad((x @ dense(column, rows, columns).T).square().sum(), leaves)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_half_precision_is_computed_in_float32() -> None:
    column, x = (tensor.bfloat16() for tensor in example(5, 4, (2,)))
    product = matvec(column, x, 5)
    assert product.dtype == torch.float32
    torch.testing.assert_close(product, x.float() @ dense(column.float(), 5, 4).T)


def test_a_circulant_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="order 3 has no 4 × 2"):
        matvec(torch.ones(3), torch.ones(2), 4)
    with pytest.raises(ValueError, match="order 3 has no 2 × 4"):
        dense(torch.ones(3), 2, 4)
