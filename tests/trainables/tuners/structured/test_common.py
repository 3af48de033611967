"""Grids of blocks against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.structured_checks import SEEDS, normal
from trainables.tuners.structured.common import at_least_float32, cut, join, split

SMALL = st.integers(1, 4)


@given(SMALL, SMALL, SMALL, SMALL, SEEDS)
def test_blocks_make_up_a_matrix_and_are_cut_out_of_it(p: int, q: int, rows: int, columns: int, seed: int) -> None:
    blocks = normal(seed, p, q, rows, columns)
    matrix = join(blocks)
    np.testing.assert_array_equal(matrix.numpy(), np.block([list(row) for row in blocks.numpy()]))
    assert torch.equal(cut(matrix, rows, columns), blocks)


@given(SMALL, SMALL, SEEDS)
def test_a_vector_is_split_into_neighbours(parts: int, width: int, seed: int) -> None:
    x = normal(seed, 2, parts * width)
    np.testing.assert_array_equal(split(x, parts).numpy(), np.stack(np.split(x.numpy(), parts, axis=1), axis=1))


def test_blocks_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="blocks of 2 × 3 do not divide a matrix of 4 × 4"):
        cut(torch.zeros(4, 4), 2, 3)


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)],
)
def test_halves_are_widened_and_doubles_kept(dtype: torch.dtype, wide: torch.dtype) -> None:
    assert at_least_float32(torch.zeros(2, dtype=dtype)).dtype == wide
