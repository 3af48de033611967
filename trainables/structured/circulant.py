"""Circulant matrices, rectangular ones as the upper left part of a square one."""

from __future__ import annotations

import torch
from torch import Tensor


def matvec(column: Tensor, x: Tensor, out_features: int) -> Tensor:
    """C x for the circulant C with first column `column`, cropped to `out_features` rows and to the columns of `x`.

    Args:
        column: c, shape (N,) with N ≥ max(m, n); C[i, j] = c[(i − j) mod N].
        x: shape (…, n); zeros are appended to it up to N.
        out_features: m, the rows to keep.

    Returns:
        Shape (…, m), of at least float32: no FFT of half precision exists on every device. By the convolution
        theorem C x = F⁻¹(F c ⊙ F x), in O(N log N).

    Raises:
        ValueError: when N is smaller than m or n.
    """
    order = column.shape[-1]
    _check(order, out_features, x.shape[-1])
    spectrum = torch.fft.rfft(_at_least_float32(x), n=order) * torch.fft.rfft(_at_least_float32(column))
    product: Tensor = torch.fft.irfft(spectrum, n=order)
    return product[..., :out_features]


def dense(column: Tensor, out_features: int, in_features: int) -> Tensor:
    """The upper left (m, n) part of the circulant with first column `column`, shape (N,), as a matrix.

    Raises:
        ValueError: when N is smaller than m or n.
    """
    order = column.shape[-1]
    _check(order, out_features, in_features)
    rows = torch.arange(out_features, device=column.device).unsqueeze(1)
    columns = torch.arange(in_features, device=column.device)
    return column[(rows - columns) % order]


def _check(order: int, out_features: int, in_features: int) -> None:
    if order < max(out_features, in_features):
        raise ValueError(f"a circulant of order {order} has no {out_features} × {in_features} part")


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
