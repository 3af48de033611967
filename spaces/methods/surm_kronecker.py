"""SURM's Kronecker family (arXiv 2406.17740)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from spaces.methods._surm import Structured, SurmConfiguration, block_sizes
from spaces.methods.base.block_grid import Grid, Shape, divisors
from spaces.methods.base.knobs import Choice

Factors = Literal["paper", "square"]


class KroneckerConfiguration(SurmConfiguration):
    """ΔW = α · A ⊗ B, A = 0 and B ~ N(0, 1) at the start.

    `paper`: A of r₁ × r₂ and B of r₂ × r₁ with r₁ r₂ = N, r₁ ≥ r₂ the divisors of N nearest to each other: 2N
    parameters and rank up to r₂², 32 × 24 ⊗ 24 × 32 for N = 768; an m × n matrix is the crop of order N = max(m, n).
    `square`: A of f × f and B of m/f × n/f, which is m × n without a crop, f being the largest common divisor of m and
    n with f² ≤ min(m, n): f² + mn / f² parameters, and the form that PEFT's LoKr holds. The learning rate's prior is
    half the circulant's, because an equal step in A changes the norm of A ⊗ B more than one in r₁ does C(r₁ ⊙ r₂).
    """

    learning_rate: float = Field(default=2e-3, gt=0, description="Peak learning rate of A and B.")
    factors: Factors = Field(default="paper", description="Shapes of A and B: the paper's, or a square A.")


class Kronecker(Structured[KroneckerConfiguration]):
    """Trains and ships both factors of every block."""

    name = "surm-kronecker"
    summary = "Kronecker product of two small matrices, high rank"
    configuration = KroneckerConfiguration
    knobs = {"factors": Choice(("paper", "square"))}  # noqa: RUF012

    def factor_shapes(self, configuration: KroneckerConfiguration, block: Grid) -> tuple[Shape, Shape]:
        return kronecker_shapes(configuration.factors, block)

    def sizes(
        self, configuration: KroneckerConfiguration, shapes: Counter[tuple[int, int]], allowance: int
    ) -> Iterator[KroneckerConfiguration]:
        return block_sizes(configuration, shapes)


def kronecker_shapes(factors: Factors, block: Grid) -> tuple[Shape, Shape]:
    """Return the shapes of A and B."""
    if factors == "paper":
        narrow = max(one for one in divisors(block.order) if one * one <= block.order)
        wide = block.order // narrow
        return (wide, narrow), (narrow, wide)
    common = divisors(math.gcd(block.height, block.width))
    side = max(one for one in common if one * one <= min(block.height, block.width))
    return (side, side), (block.height // side, block.width // side)


METHODS = (Kronecker(),)
