"""A matrix as a grid of equal blocks, and the precision of products by transforms."""

from __future__ import annotations

import torch
from torch import Tensor


def split(x: Tensor, parts: int) -> Tensor:
    """A vector, shape (…, parts · b), as its parts, shape (…, parts, b)."""
    return x.reshape(*x.shape[:-1], parts, x.shape[-1] // parts)


def join(blocks: Tensor) -> Tensor:
    """Blocks of shape (p, q, m, n) as the matrix of shape (p · m, q · n) that they make up."""
    return blocks.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)


def cut(matrix: Tensor, rows: int, columns: int) -> Tensor:
    """The blocks of `rows` × `columns` of a matrix, shape (p, q, rows, columns); `join` undoes it.

    Raises:
        ValueError: when they do not divide it.
    """
    height, width = matrix.shape
    if height % rows or width % columns:
        raise ValueError(f"blocks of {rows} × {columns} do not divide a matrix of {height} × {width}")
    return matrix.reshape(height // rows, rows, width // columns, columns).permute(0, 2, 1, 3)


def at_least_float32(tensor: Tensor) -> Tensor:
    """`tensor` in its own type, or in float32 where that is wider."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
