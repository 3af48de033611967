"""SURM's Fig. 1 (arXiv 2406.17740): how near each family comes to random positive semi-definite matrices of 50 × 50.

Every family has 50 parameters where it has such a setting: a circulant, a symmetric Toeplitz matrix, and u uᵀ of rank
1. The Kronecker product of the paper's shape, 10 × 5 ⊗ 5 × 10, has 100, as has a low-rank product u vᵀ, which is no
better on such a matrix than u uᵀ. All are the families' exact least-squares projections.
"""

from __future__ import annotations

import itertools

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from trainables.tuners.structured import circulant, kronecker, toeplitz

ORDER, DRAWS = 50, 10
EXPECTED = ("low-rank", "Kronecker", "circulant", "symmetric Toeplitz")
PARAMETERS = {"low-rank": 50, "Kronecker": 100, "circulant": 50, "symmetric Toeplitz": 50}


def draw(seed: int) -> Tensor:
    """G Gᵀ / n for G of standard normal entries: positive semi-definite, shape (50, 50)."""
    g = torch.randn(ORDER, ORDER, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return g @ g.T / ORDER


def nearest(matrix: Tensor) -> dict[str, Tensor]:
    """The nearest member of each family, by name in the order that the paper finds, from the farthest."""
    order = len(matrix)
    values, vectors = torch.linalg.eigh(matrix)
    narrow = max(one for one in range(1, order + 1) if order % one == 0 and one * one <= order)
    wide = order // narrow
    left, right = kronecker.projection(matrix, (wide, narrow), (narrow, wide))
    column = toeplitz.symmetric_projection(matrix)
    return {
        "low-rank": values[-1].clamp(min=0) * torch.outer(vectors[:, -1], vectors[:, -1]),
        "Kronecker": kronecker.dense(left, right),
        "circulant": circulant.dense(circulant.projection(matrix), order, order),
        "symmetric Toeplitz": toeplitz.dense(toeplitz.symmetric(column), order, order),
    }


def errors(matrix: Tensor) -> dict[str, float]:
    """Relative error of each family in the Frobenius norm."""
    norm = torch.linalg.norm(matrix)
    return {name: float(torch.linalg.norm(matrix - near) / norm) for name, near in nearest(matrix).items()}


def in_order(found: dict[str, float]) -> bool:
    """Whether the errors fall strictly in the order that the paper finds."""
    values = [found[name] for name in EXPECTED]
    return all(one > other for one, other in itertools.pairwise(values))


def main() -> None:
    """Print the errors of every draw."""
    found = [errors(draw(seed)) for seed in range(DRAWS)]
    table = Table(title=f"relative error on positive semi-definite matrices of {ORDER} × {ORDER}")
    table.add_column("draw", justify="right")
    for name in EXPECTED:
        table.add_column(f"{name} ({PARAMETERS[name]})", justify="right")
    table.add_column("the paper's order")
    for seed, one in enumerate(found):
        table.add_row(str(seed), *(f"{one[name]:.4f}" for name in EXPECTED), "yes" if in_order(one) else "no")
    means = [sum(one[name] for one in found) / DRAWS for name in EXPECTED]
    table.add_row("mean", *(f"{mean:.4f}" for mean in means), f"{sum(map(in_order, found))} of {DRAWS}")
    Console().print(table)


if __name__ == "__main__":
    main()
