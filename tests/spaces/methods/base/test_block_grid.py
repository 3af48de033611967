"""Grids of blocks and divisors, against their definitions."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.methods.base.block_grid import divisors, grid


@given(st.integers(1, 5_000))
def test_divisors_are_all_and_ascend(number: int) -> None:
    assert divisors(number) == [one for one in range(1, number + 1) if number % one == 0]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20))
def test_blocks_tile_the_matrix(down: int, across: int, size: int) -> None:
    made = grid(size, down * size, across * size)
    assert (made.down, made.across, made.height, made.width, made.order) == (down, across, size, size, size)


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_whole_matrix_is_one_block_within_the_smallest_square(rows: int, columns: int) -> None:
    made = grid("whole", rows, columns)
    assert (made.down, made.across, made.height, made.width) == (1, 1, rows, columns)
    assert made.order == max(rows, columns)


@pytest.mark.parametrize(("size", "rows", "columns"), [(4, 12, 6), (4, 6, 12), (5, 12, 6)])
def test_a_size_that_divides_not_both_sides_is_refused_with_those_that_do(size: int, rows: int, columns: int) -> None:
    line = f"block_size = {size} does not divide {rows} × {columns}; allowed: whole, 1, 2, 3, 6"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        grid(size, rows, columns)
