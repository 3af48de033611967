"""Low displacement rank against its definition, SciPy's circulants and dense autograd."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.structured_checks import BATCHES, DTYPES, SEEDS, SIZES, check_product, f_circulant, normal
from trainables.tuners.structured.displacement import dense, matvec, projection, skew_dense, skew_matvec

RANKS = st.integers(1, 3)


@given(SIZES, SEEDS)
def test_a_skew_circulant_is_a_polynomial_in_its_shift(order: int, seed: int) -> None:
    column = normal(seed, order)
    np.testing.assert_allclose(skew_dense(column).numpy(), f_circulant(column.numpy(), -1), atol=1e-12)


@given(SIZES, BATCHES, DTYPES, SEEDS)
def test_its_product_and_gradients_are_the_dense_ones(
    order: int, batch: tuple[int, ...], dtype: torch.dtype, seed: int
) -> None:
    check_product(skew_matvec, skew_dense, [normal(seed, order)], normal(seed + 1, *batch, order), dtype)


@given(SIZES, SIZES, RANKS, SEEDS)
def test_dense_is_the_sum_of_products(rows: int, columns: int, rank: int, seed: int) -> None:
    g, h = normal(seed, 2, rank, max(rows, columns))
    expected = sum(
        scipy.linalg.circulant(one) @ f_circulant(other, -1) for one, other in zip(g.numpy(), h.numpy(), strict=True)
    )
    np.testing.assert_allclose(dense(g, h, rows, columns).numpy(), expected[:rows, :columns], atol=1e-11)


@given(SIZES, SIZES, RANKS, BATCHES, DTYPES, SEEDS)
def test_the_product_and_its_gradients_are_the_dense_ones(
    rows: int, columns: int, rank: int, batch: tuple[int, ...], dtype: torch.dtype, seed: int
) -> None:
    g, h = normal(seed, 2, rank, max(rows, columns))
    x = normal(seed + 1, *batch, columns)
    check_product(lambda g, h, x: matvec(g, h, x, rows), lambda g, h: dense(g, h, rows, columns), [g, h], x, dtype)


@given(SIZES, st.integers(1, 9), SEEDS)
def test_the_displacement_has_that_rank(order: int, rank: int, seed: int) -> None:
    g, h = normal(seed, 2, min(rank, order), order)
    matrix = dense(g, h, order, order).numpy()
    unit = np.eye(order)[1 % order]
    plain, skew = (f_circulant(unit if order > 1 else np.array([f]), f) for f in (1, -1))
    displacement = plain @ matrix - matrix @ skew
    np.testing.assert_allclose(displacement, 2 * g.numpy().T @ h.numpy()[:, ::-1], atol=1e-11)


@given(SIZES, st.integers(1, 9), SEEDS)
def test_the_projection_gives_back_what_has_the_rank(order: int, rank: int, seed: int) -> None:
    rank = min(rank, order)
    matrix = dense(*normal(seed, 2, rank, order), order, order)
    again = dense(*projection(matrix, rank), order, order)
    torch.testing.assert_close(again, matrix, atol=1e-9, rtol=1e-9)


@given(SIZES, SEEDS)
def test_what_each_rank_contains(order: int, seed: int) -> None:
    column, row = normal(seed, 2, order).numpy()
    contained = {
        1: [scipy.linalg.circulant(column), f_circulant(column, -1)],
        min(2, order): [scipy.linalg.toeplitz(column, row)],
        order: [normal(seed, order, order).numpy()],
    }
    for rank, matrices in contained.items():
        for matrix in map(torch.from_numpy, matrices):
            again = dense(*projection(matrix, rank), order, order)
            torch.testing.assert_close(again, matrix, atol=1e-9, rtol=1e-9)


def test_what_has_no_projection_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: square"):
        projection(torch.ones(3, 4), 1)
    for rank in (0, 4):
        with pytest.raises(ValueError, match="allowed: 1 to 3"):
            projection(torch.ones(3, 3), rank)
