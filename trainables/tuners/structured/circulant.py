"""Circulant matrices; a rectangular one is the upper left part of a square one."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.tuners.structured.common import at_least_float32, split


def matvec(column: Tensor, x: Tensor, out_features: int) -> Tensor:
    """Return C x for the circulant C with first column `column`, cropped to `out_features` rows and the columns of `x`.

    Args:
        column: c, shape (…, N) with N ≥ max(m, n); C[i, j] = c[(i − j) mod N]. Leading dimensions broadcast.
        x: shape (…, n); it is padded with zeros up to N.
        out_features: m, the rows to keep.

    Returns:
        Shape (…, m), at least float32. By the convolution theorem C x = F⁻¹(F c ⊙ F x), in O(N log N).

    Raises:
        ValueError: when N is smaller than m or n.
    """
    order = column.shape[-1]
    _check(order, out_features, x.shape[-1])
    spectrum = torch.fft.rfft(at_least_float32(x), n=order) * torch.fft.rfft(at_least_float32(column))
    product: Tensor = torch.fft.irfft(spectrum, n=order)
    return product[..., :out_features]


def grid_matvec(columns: Tensor, x: Tensor) -> Tensor:
    """Return W x for a matrix W of square circulant blocks: yᵢ = Σⱼ C(cᵢⱼ) xⱼ, summed before the one inverse transform.

    Args:
        columns: the blocks' first columns, shape (p, q, b).
        x: shape (…, q · b).

    Returns:
        Shape (…, p · b), at least float32.
    """
    _, parts, order = columns.shape
    spectra = torch.fft.rfft(at_least_float32(columns))
    spectrum = torch.einsum("pqf,...qf->...pf", spectra, torch.fft.rfft(at_least_float32(split(x, parts))))
    product: Tensor = torch.fft.irfft(spectrum, n=order)
    return product.flatten(-2)


def correlation(outer: Tensor, inner: Tensor, order: int) -> Tensor:
    """Return the gradient of Σ_t outer_t · (C inner_t) with respect to the first column of C, shape (N,).

    Args:
        outer: shape (T, m).
        inner: shape (T, n).
        order: N ≥ max(m, n).

    Returns:
        Σ_t Σ_i outer[t, i] · inner[t, (i − k) mod N], a sum of circular correlations: F⁻¹(Σ_t conj(F inner) ⊙ F outer).
    """
    left, right = (torch.fft.rfft(at_least_float32(one), n=order) for one in (inner, outer))
    spectrum = left.conj_physical_().mul_(right).sum(0)  # in place: they are as large as the inputs
    product: Tensor = torch.fft.irfft(spectrum, n=order)
    return product


def dense(column: Tensor, out_features: int, in_features: int) -> Tensor:
    """Return the upper left (m, n) part of the circulant with first column `column`, shape (…, N), as (…, m, n).

    Raises:
        ValueError: when N is smaller than m or n.
    """
    order = column.shape[-1]
    _check(order, out_features, in_features)
    # C[i, j] is entry i − j + n − 1 of the repeated column: a window that moves by one, read backwards.
    around = torch.cat([column[..., order - in_features + 1 :], column[..., :out_features]], dim=-1)
    return around.unfold(-1, in_features, 1).flip(-1)


def projection(matrix: Tensor) -> Tensor:
    """Return the first column of the circulant nearest to `matrix` in the Frobenius norm.

    Args:
        matrix: shape (m, n).

    Returns:
        Shape (max(m, n),). Each entry is the mean of a wrapped diagonal (arXiv 2406.17740, appendix A.6), over the part
        that the crop keeps.
    """
    rows, columns = matrix.shape
    order = max(rows, columns)
    i = torch.arange(rows, device=matrix.device).unsqueeze(1)
    diagonal = (i - torch.arange(columns, device=matrix.device)) % order
    return means(matrix, diagonal, order)


def means(matrix: Tensor, group: Tensor, groups: int) -> Tensor:
    """Return the mean entry of each group, shape (groups,).

    Args:
        matrix: shape (m, n).
        group: shape (m, n), the number of each entry's group.
        groups: how many groups there are.
    """
    total = torch.zeros(groups, dtype=matrix.dtype, device=matrix.device)
    total = total.index_add(0, group.flatten(), matrix.flatten())
    return total / torch.bincount(group.flatten(), minlength=groups).clamp(min=1)


def _check(order: int, out_features: int, in_features: int) -> None:
    if order < max(out_features, in_features):
        raise ValueError(f"a circulant of order {order} has no {out_features} × {in_features} part")
