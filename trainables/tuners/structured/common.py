"""A matrix as a grid of equal blocks, and the precision of products by transforms."""

from __future__ import annotations

import torch
from torch import Tensor


def split(x: Tensor, parts: int) -> Tensor:
    """Return a vector, shape (…, parts · b), as its parts, shape (…, parts, b)."""
    return x.reshape(*x.shape[:-1], parts, x.shape[-1] // parts)


def join(blocks: Tensor) -> Tensor:
    """Return the matrix of shape (p · m, q · n) that blocks of shape (p, q, m, n) make up."""
    return blocks.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)


def cut(matrix: Tensor, rows: int, columns: int) -> Tensor:
    """Return the `rows` × `columns` blocks of a matrix, shape (p, q, rows, columns). The inverse of `join`.

    Raises:
        ValueError: when the blocks do not divide the matrix.
    """
    height, width = matrix.shape
    if height % rows or width % columns:
        raise ValueError(f"blocks of {rows} × {columns} do not divide a matrix of {height} × {width}")
    return matrix.reshape(height // rows, rows, width // columns, columns).permute(0, 2, 1, 3)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return `tensor` in its own type or in float32, whichever is wider.

    Not every device has an FFT of half precision.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
