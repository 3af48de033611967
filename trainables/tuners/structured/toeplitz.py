"""Toeplitz matrices of any shape: constant along every diagonal."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.tuners.structured.circulant import means
from trainables.tuners.structured.common import at_least_float32


def matvec(diagonals: Tensor, x: Tensor, out_features: int) -> Tensor:
    """Return T x for the m × n Toeplitz matrix T[i, j] = t[i − j + n − 1].

    Args:
        diagonals: t, shape (…, m + n − 1), from the upper right corner to the lower left one. Leading dimensions
            broadcast.
        x: shape (…, n).
        out_features: m.

    Returns:
        Shape (…, m), at least float32: rows n − 1 … n + m − 2 of the convolution t ∗ x, which is a product with an
        enclosing circulant of order m + n, in O(N log N).

    Raises:
        ValueError: when t has another length.
    """
    in_features = x.shape[-1]
    _check(diagonals, out_features, in_features)
    order = out_features + in_features  # one more than needed: 2N has smaller prime factors than 2N − 1
    spectrum = torch.fft.rfft(at_least_float32(x), n=order) * torch.fft.rfft(at_least_float32(diagonals), n=order)
    product: Tensor = torch.fft.irfft(spectrum, n=order)
    return product[..., in_features - 1 : in_features - 1 + out_features]


def dense(diagonals: Tensor, out_features: int, in_features: int) -> Tensor:
    """Return the (…, m, n) Toeplitz matrix with `diagonals` t, shape (…, m + n − 1).

    Raises:
        ValueError: when t has another length.
    """
    _check(diagonals, out_features, in_features)
    return diagonals.unfold(-1, in_features, 1).flip(-1)


def symmetric(column: Tensor) -> Tensor:
    """Return the diagonals, shape (…, 2N − 1), of the symmetric Toeplitz matrix with first column `column`, (…, N)."""
    return torch.cat([column.flip(-1), column[..., 1:]], dim=-1)


def crop(diagonals: Tensor, out_features: int, in_features: int) -> Tensor:
    """Return the diagonals of the upper left m × n part of a square Toeplitz matrix with `diagonals`, (…, 2N − 1)."""
    middle = diagonals.shape[-1] // 2
    return diagonals[..., middle - in_features + 1 : middle + out_features]


def projection(matrix: Tensor) -> Tensor:
    """Return the diagonals of the Toeplitz matrix nearest to `matrix` in the Frobenius norm: the mean of each diagonal.

    Args:
        matrix: shape (m, n).

    Returns:
        Shape (m + n − 1,). Source: arXiv 2406.17740, appendix A.6.
    """
    rows, columns = matrix.shape
    return means(matrix, _diagonal(rows, columns, matrix.device), rows + columns - 1)


def symmetric_projection(matrix: Tensor) -> Tensor:
    """Return the first column of the symmetric Toeplitz matrix whose upper left part is nearest to `matrix`.

    Returns:
        Shape (max(m, n),). The k-th entry is the mean of all entries at distance k from the main diagonal, on either
        side.
    """
    rows, columns = matrix.shape
    distance = (_diagonal(rows, columns, matrix.device) - (columns - 1)).abs()
    return means(matrix, distance, max(rows, columns))


def _diagonal(rows: int, columns: int, device: torch.device) -> Tensor:
    i = torch.arange(rows, device=device).unsqueeze(1)
    return i - torch.arange(columns, device=device) + columns - 1


def _check(diagonals: Tensor, out_features: int, in_features: int) -> None:
    if diagonals.shape[-1] != out_features + in_features - 1:
        raise ValueError(
            f"a Toeplitz matrix of {out_features} × {in_features} has {out_features + in_features - 1} diagonals, "
            f"not {diagonals.shape[-1]}"
        )
