"""Matrices of low displacement rank: W(G, H) = Σᵢ Z₁(gᵢ) Z₋₁(hᵢ), sums of circulants times skew-circulants.

Z_f(v) is the f-circulant with first column v: entries that a circulant wraps around its top are multiplied by f. W has
displacement rank r: Z₁ W − W Z₋₁ = 2 G Hᵀ J has rank r, where Z_f is the f-circulant of the second unit vector and J
the exchange matrix. r = 1 contains the circulants and the skew-circulants, r = 2 the Toeplitz matrices and their
inverses, r = n every matrix (arXiv 2406.17740, section 3; Sindhwani et al. 2015, arXiv 1510.01722).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainables.tuners.structured import circulant
from trainables.tuners.structured.common import at_least_float32


def skew_matvec(column: Tensor, x: Tensor) -> Tensor:
    """Return S x for the skew-circulant S = Z₋₁(v): S[i, j] = v[i − j] for i ≥ j, −v[N + i − j] above the diagonal.

    Args:
        column: v, shape (…, N). Leading dimensions broadcast.
        x: shape (…, n); it is padded with zeros up to N.

    Returns:
        Shape (…, N), at least float32: η̄ ⊙ F⁻¹(F(η ⊙ v) ⊙ F(η ⊙ x)) with ηₖ = exp(iπk / N), so that η^N = −1.
    """
    order = column.shape[-1]
    column, x = at_least_float32(column), at_least_float32(x)
    angle = torch.arange(order, device=column.device, dtype=column.dtype) * (math.pi / order)
    twist = torch.polar(torch.ones_like(angle), angle)
    spectrum = torch.fft.fft(twist * column) * torch.fft.fft(twist[: x.shape[-1]] * x, n=order)
    product: Tensor = (twist.conj() * torch.fft.ifft(spectrum)).real
    return product


def skew_dense(column: Tensor) -> Tensor:
    """Return the skew-circulant with first column `column`, shape (…, N), as (…, N, N)."""
    order = column.shape[-1]
    around = torch.cat([-column[..., 1:], column], dim=-1)
    return around.unfold(-1, order, 1).flip(-1)


def matvec(g: Tensor, h: Tensor, x: Tensor, out_features: int) -> Tensor:
    """Return W(G, H) x, cropped to `out_features` rows and to the columns of `x`.

    Args:
        g: columns of the circulants, shape (…, r, N). Leading dimensions broadcast.
        h: columns of the skew-circulants, shape (…, r, N).
        x: shape (…, n) with n ≤ N.
        out_features: m ≤ N.

    Returns:
        Shape (…, m), at least float32, in O(r N log N); the terms are summed before the one inverse transform.
    """
    order = g.shape[-1]
    inner = skew_matvec(h, x.unsqueeze(-2))
    spectrum = (torch.fft.rfft(at_least_float32(g)) * torch.fft.rfft(inner)).sum(-2)
    product: Tensor = torch.fft.irfft(spectrum, n=order)
    return product[..., :out_features]


def dense(g: Tensor, h: Tensor, out_features: int, in_features: int) -> Tensor:
    """Return the upper left (m, n) part of W(G, H), shape (…, m, n), for G and H of shape (…, r, N)."""
    order = g.shape[-1]
    left = circulant.dense(g, out_features, order)
    return (left @ skew_dense(h)[..., :in_features]).sum(-3)


def composed(g: Tensor, h: Tensor, out_features: int, in_features: int) -> Tensor:
    """Return the same as `dense`, in O(r N² log N), for G and H of shape (r, N)."""
    columns = skew_dense(h)[..., :in_features].mT
    spectra = torch.fft.rfft(at_least_float32(columns)) * torch.fft.rfft(at_least_float32(g)).unsqueeze(-2)
    product: Tensor = torch.fft.irfft(spectra.sum(-3), n=g.shape[-1])
    return product[..., :out_features].mT


def projection(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return G and H of a matrix of displacement rank `rank` that is near to a square `matrix`.

    The singular value decomposition of the displacement gives them, since the family inverts a displacement exactly.
    This projects the displacement and not the matrix: it is exact when `matrix` has that displacement rank. Otherwise
    it is not the least-squares solution, which has no closed form.

    Args:
        matrix: shape (n, n).
        rank: 1 … n.

    Returns:
        G and H, each of shape (rank, n).

    Raises:
        ValueError: when `matrix` is not square, or the rank is not in 1 … n.
    """
    rows, columns = matrix.shape
    if rows != columns:
        raise ValueError(f"a displacement of {rows} × {columns} is not defined here; allowed: square matrices")
    if not 1 <= rank <= rows:
        raise ValueError(f"displacement rank {rank} of a {rows} × {columns} matrix; allowed: 1 to {rows}")
    shifted = torch.cat([matrix[:, 1:], -matrix[:, :1]], dim=1)  # W Z₋₁
    u, s, vh = torch.linalg.svd(matrix.roll(1, 0) - shifted)
    scale = (s[:rank, None] / 2).sqrt()
    return scale * u.mT[:rank], scale * vh[:rank].flip(-1)
