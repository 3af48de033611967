"""Kronecker products against NumPy and dense autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.structured_checks import BATCHES, DTYPES, SEEDS, check_product, normal
from trainables.tuners.structured.kronecker import dense, matvec, projection

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(SHAPES, SHAPES, SEEDS)
def test_dense_is_numpys(left: tuple[int, int], right: tuple[int, int], seed: int) -> None:
    a, b = normal(seed, 2, *left), normal(seed + 1, 2, *right)
    for one, other, product in zip(a, b, dense(a, b), strict=True):
        np.testing.assert_array_equal(product.numpy(), np.kron(one.numpy(), other.numpy()))


@given(SHAPES, SHAPES, BATCHES, DTYPES, SEEDS)
def test_the_product_and_its_gradients_are_the_dense_ones(
    left: tuple[int, int], right: tuple[int, int], batch: tuple[int, ...], dtype: torch.dtype, seed: int
) -> None:
    parts = [normal(seed, *left), normal(seed + 1, *right)]
    check_product(matvec, dense, parts, normal(seed + 2, *batch, left[1] * right[1]), dtype)


@given(SHAPES, SHAPES, SEEDS)
def test_a_product_is_its_own_projection(left: tuple[int, int], right: tuple[int, int], seed: int) -> None:
    matrix = dense(normal(seed, *left), normal(seed + 1, *right))
    a, b = projection(matrix, left, right)
    torch.testing.assert_close(dense(a, b), matrix, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(a.norm(), b.norm())


@given(SHAPES, SHAPES, SEEDS)
def test_the_projection_is_the_nearest(left: tuple[int, int], right: tuple[int, int], seed: int) -> None:
    matrix = normal(seed, left[0] * right[0], left[1] * right[1])
    a, b = projection(matrix, left, right)
    found = (dense(a, b) - matrix).square().sum()
    # Of least squares in one factor with the other fixed, from any start, none comes nearer.
    for start in range(3):
        other = normal(seed + 2 + start, *right)
        for _ in range(30):
            blocks = matrix.reshape(left[0], right[0], left[1], right[1])
            one = torch.einsum("acbd,cd->ab", blocks, other) / other.square().sum()
            other = torch.einsum("acbd,ab->cd", blocks, one) / one.square().sum()
        assert found <= (dense(one, other) - matrix).square().sum() * (1 + 1e-9) + 1e-12
    # And it is a stationary point, from which no such step leads away.
    again = torch.einsum("acbd,cd->ab", matrix.reshape(left[0], right[0], left[1], right[1]), b) / b.square().sum()
    torch.testing.assert_close(again, a, atol=1e-8, rtol=1e-8)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="of 2 × 3 and 4 × 5 takes 15 entries, not 14"):
        matvec(torch.ones(2, 3), torch.ones(4, 5), torch.ones(14))
    with pytest.raises(ValueError, match="is not of shape"):
        projection(torch.ones(4, 4), (2, 2), (2, 3))
