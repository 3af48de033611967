"""A matrix as a grid of equal blocks, each a part of a square matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import PositiveInt

BlockSize = Literal["whole"] | PositiveInt
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """A matrix as `down` × `across` blocks of `height` × `width`, each a part of a square matrix of order `order`."""

    down: int
    across: int
    height: int
    width: int

    @property
    def order(self) -> int:
        """The order of the smallest square matrix that contains a block."""
        return max(self.height, self.width)


def grid(block_size: BlockSize, rows: int, columns: int) -> Grid:
    """Return the blocks of a matrix of `rows` × `columns`.

    Raises:
        ValueError: when blocks of this size do not divide it.
    """
    if block_size == "whole":
        return Grid(1, 1, rows, columns)
    if rows % block_size or columns % block_size:
        allowed = ", ".join(map(str, divisors(math.gcd(rows, columns))))
        raise ValueError(f"block_size = {block_size} does not divide {rows} × {columns}; allowed: whole, {allowed}")
    return Grid(rows // block_size, columns // block_size, block_size, block_size)


def divisors(number: int) -> list[int]:
    """Return all divisors of a positive number, ascending."""
    small = [one for one in range(1, math.isqrt(number) + 1) if number % one == 0]
    return small + [number // one for one in reversed(small) if one * one != number]
