"""What every structured family is held to: its product is the dense one, with its gradients, in every type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

SIZES = st.integers(1, 9)
BATCHES = st.lists(st.integers(1, 3), max_size=2).map(tuple)
SEEDS = st.integers(0, 2**31)
_TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-4, torch.float16: 1e-4, torch.bfloat16: 1e-4}
DTYPES = st.sampled_from(list(_TOLERANCE))


def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def check_product(
    matvec: Callable[..., Tensor], dense: Callable[..., Tensor], parts: Sequence[Tensor], x: Tensor, dtype: torch.dtype
) -> None:
    """`matvec(*parts, x)` and its gradients are those of `dense(*parts)` in float64, on numbers that `dtype` holds."""
    leaves = [one.to(dtype).requires_grad_() for one in (*parts, x)]
    product = matvec(*leaves)
    assert product.dtype == torch.promote_types(dtype, torch.float32)
    gradients = torch.autograd.grad(product.square().sum(), leaves)
    exact = [one.detach().double().requires_grad_() for one in leaves]
    expected = exact[-1] @ dense(*exact[:-1]).mT
    assert product.shape == expected.shape
    torch.testing.assert_close(product.double(), expected, atol=_TOLERANCE[dtype], rtol=_TOLERANCE[dtype])
    rounding = max(_TOLERANCE[dtype], 8 * torch.finfo(dtype).eps)  # a gradient has the type of its leaf
    for one, other in zip(gradients, torch.autograd.grad(expected.square().sum(), exact), strict=True):
        scale = 1 + float(other.abs().max())
        torch.testing.assert_close(one.double(), other, atol=rounding * scale, rtol=rounding)


def check_projection(near: Tensor, basis: Sequence[Tensor], matrix: Tensor) -> None:
    """`near` is the least-squares combination of `basis` for `matrix`: by brute force."""
    columns = torch.stack([one.flatten() for one in basis], dim=1)
    solution = torch.linalg.lstsq(columns, matrix.flatten(), driver="gelsd").solution
    torch.testing.assert_close(near, (columns @ solution).reshape(matrix.shape), atol=1e-9, rtol=1e-9)


def f_circulant(column: np.ndarray, f: float) -> np.ndarray:
    """Σₖ vₖ Z_fᵏ, Z_f being the shift down that multiplies by f what it wraps around."""
    order = len(column)
    shift = np.eye(order, k=-1)
    shift[0, -1] += f
    return sum(v * np.linalg.matrix_power(shift, k) for k, v in enumerate(column))
