"""Toeplitz matrices against SciPy and dense autograd."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given

from tests.trainables.structured_checks import (
    BATCHES,
    DTYPES,
    SEEDS,
    SIZES,
    check_product,
    check_projection,
    normal,
)
from trainables.tuners.structured.toeplitz import crop, dense, matvec, projection, symmetric, symmetric_projection


@given(SIZES, SIZES, SEEDS)
def test_dense_is_scipys(rows: int, columns: int, seed: int) -> None:
    diagonals = normal(seed, rows + columns - 1)
    first_column, first_row = diagonals[columns - 1 :], diagonals[:columns].flip(0)
    expected = scipy.linalg.toeplitz(first_column.numpy(), first_row.numpy())
    np.testing.assert_array_equal(dense(diagonals, rows, columns).numpy(), expected)


@given(SIZES, SEEDS)
def test_a_symmetric_one_is_scipys(order: int, seed: int) -> None:
    column = normal(seed, 2, order)
    for one, matrix in zip(column, dense(symmetric(column), order, order), strict=True):
        np.testing.assert_array_equal(matrix.numpy(), scipy.linalg.toeplitz(one.numpy()))


@given(SIZES, SIZES, SEEDS)
def test_a_crop_is_the_upper_left_part(rows: int, columns: int, seed: int) -> None:
    order = max(rows, columns)
    diagonals = normal(seed, 2 * order - 1)
    part = dense(crop(diagonals, rows, columns), rows, columns)
    assert torch.equal(part, dense(diagonals, order, order)[:rows, :columns])


@given(SIZES, SIZES, BATCHES, DTYPES, SEEDS)
def test_the_product_and_its_gradients_are_the_dense_ones(
    rows: int, columns: int, batch: tuple[int, ...], dtype: torch.dtype, seed: int
) -> None:
    diagonals, x = normal(seed, rows + columns - 1), normal(seed + 1, *batch, columns)
    check_product(lambda t, x: matvec(t, x, rows), lambda t: dense(t, rows, columns), [diagonals], x, dtype)


@given(SIZES, SIZES, SEEDS)
def test_the_projections_are_those_of_least_squares(rows: int, columns: int, seed: int) -> None:
    matrix, order = normal(seed, rows, columns), max(rows, columns)
    units = torch.eye(rows + columns - 1, dtype=torch.float64)
    check_projection(dense(projection(matrix), rows, columns), [dense(unit, rows, columns) for unit in units], matrix)

    def part(column: torch.Tensor) -> torch.Tensor:
        return dense(symmetric(column), order, order)[:rows, :columns]

    units = torch.eye(order, dtype=torch.float64)
    check_projection(part(symmetric_projection(matrix)), [part(unit) for unit in units], matrix)


def test_diagonals_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="of 4 × 2 has 5 diagonals, not 3"):
        matvec(torch.ones(3), torch.ones(2), 4)
    with pytest.raises(ValueError, match="of 2 × 4 has 5 diagonals, not 6"):
        dense(torch.ones(6), 2, 4)
