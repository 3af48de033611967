"""Kronecker products A ⊗ B."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.tuners.structured.common import at_least_float32, cut, split


def matvec(left: Tensor, right: Tensor, x: Tensor) -> Tensor:
    """Return (A ⊗ B) x = A X Bᵀ, where X is x in rows of d.

    Args:
        left: A, shape (a, b).
        right: B, shape (c, d).
        x: shape (…, b · d).

    Returns:
        Shape (…, a · c), at least float32, in O(N (c + b)) for x of N entries, or O(N (a + d)), whichever is less.

    Raises:
        ValueError: when x has another length.
    """
    (a, b), (c, d) = left.shape, right.shape
    if x.shape[-1] != b * d:
        raise ValueError(f"a Kronecker product of {a} × {b} and {c} × {d} takes {b * d} entries, not {x.shape[-1]}")
    table = split(at_least_float32(x), b)
    left, right = at_least_float32(left), at_least_float32(right)
    right_first = b * c * (d + a) <= a * d * (b + c)
    product: Tensor = left @ (table @ right.mT) if right_first else (left @ table) @ right.mT
    return product.flatten(-2)


def dense(left: Tensor, right: Tensor) -> Tensor:
    """Return A ⊗ B, shape (…, a · c, b · d), for A of shape (…, a, b) and B of shape (…, c, d)."""
    return torch.einsum("...ab,...cd->...acbd", left, right).flatten(-2).flatten(-3, -2)


def projection(matrix: Tensor, left: tuple[int, int], right: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return A and B, of equal norms, of the Kronecker product nearest to `matrix` in the Frobenius norm.

    With each block of the shape of B as a row, A ⊗ B becomes the product of vec A and vec B. The best rank-1
    approximation of the matrix rearranged in this way is the answer (Van Loan and Pitsianis 1993).

    Args:
        matrix: shape (a · c, b · d).
        left: shape (a, b) of A.
        right: shape (c, d) of B.

    Raises:
        ValueError: when the shapes do not multiply to that of `matrix`.
    """
    if tuple(matrix.shape) != (left[0] * right[0], left[1] * right[1]):
        raise ValueError(f"{left} ⊗ {right} is not of shape {tuple(matrix.shape)}")
    rearranged = cut(matrix, *right).flatten(2).flatten(0, 1)
    u, s, vh = torch.linalg.svd(rearranged, full_matrices=False)
    scale = s[0].sqrt()
    return (scale * u[:, 0]).reshape(left), (scale * vh[0]).reshape(right)
