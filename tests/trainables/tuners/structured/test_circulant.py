"""Circulants against SciPy and dense autograd."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.structured_checks import (
    BATCHES,
    DTYPES,
    SEEDS,
    SIZES,
    check_product,
    check_projection,
    normal,
)
from trainables.tuners.structured.circulant import dense, grid_matvec, matvec, projection
from trainables.tuners.structured.common import cut, join


@given(SIZES, SIZES, st.integers(0, 2), SEEDS)
def test_dense_is_the_upper_left_part_of_scipys(rows: int, columns: int, extra: int, seed: int) -> None:
    column = normal(seed, max(rows, columns) + extra)
    expected = scipy.linalg.circulant(column.numpy())[:rows, :columns]
    np.testing.assert_array_equal(dense(column, rows, columns).numpy(), expected)


@given(SIZES, SIZES, BATCHES, st.integers(0, 2), DTYPES, SEEDS)
def test_the_product_and_its_gradients_are_the_dense_ones(
    rows: int, columns: int, batch: tuple[int, ...], extra: int, dtype: torch.dtype, seed: int
) -> None:
    column, x = normal(seed, max(rows, columns) + extra), normal(seed + 1, *batch, columns)
    check_product(lambda c, x: matvec(c, x, rows), lambda c: dense(c, rows, columns), [column], x, dtype)


@settings(max_examples=50)
@given(st.integers(1, 3), st.integers(1, 3), SIZES, BATCHES, DTYPES, SEEDS)
def test_a_grid_of_blocks_is_their_matrix(
    down: int, across: int, size: int, batch: tuple[int, ...], dtype: torch.dtype, seed: int
) -> None:
    columns, x = normal(seed, down, across, size), normal(seed + 1, *batch, across * size)
    matrix = np.block([[scipy.linalg.circulant(one.numpy()) for one in row] for row in columns])
    np.testing.assert_array_equal(join(dense(columns, size, size)).numpy(), matrix)
    check_product(grid_matvec, lambda c: join(dense(c, size, size)), [columns], x, dtype)


@given(SIZES, SIZES, SEEDS)
def test_the_projection_is_that_of_least_squares(rows: int, columns: int, seed: int) -> None:
    matrix, order = normal(seed, rows, columns), max(rows, columns)
    basis = [dense(unit, rows, columns) for unit in torch.eye(order, dtype=torch.float64)]
    check_projection(dense(projection(matrix), rows, columns), basis, matrix)


@given(st.integers(1, 3), st.integers(1, 3), SIZES, SIZES, SEEDS)
def test_cutting_into_blocks_undoes_joining(down: int, across: int, rows: int, columns: int, seed: int) -> None:
    blocks = normal(seed, down, across, rows, columns)
    assert torch.equal(cut(join(blocks), rows, columns), blocks)


def test_blocks_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="blocks of 2 × 3 do not divide a matrix of 4 × 4"):
        cut(torch.ones(4, 4), 2, 3)


def test_a_circulant_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="order 3 has no 4 × 2"):
        matvec(torch.ones(3), torch.ones(2), 4)
    with pytest.raises(ValueError, match="order 3 has no 2 × 4"):
        dense(torch.ones(3), 2, 4)
