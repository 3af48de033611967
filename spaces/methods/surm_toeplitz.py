"""SURM's Toeplitz family (arXiv 2406.17740)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from spaces.methods._surm import Structured, SurmConfiguration, block_sizes
from spaces.methods.base.block_grid import Grid, Shape
from spaces.methods.base.knobs import Choice


class ToeplitzConfiguration(SurmConfiguration):
    """ΔW = α · T₂ T₁: a product of two Toeplitz matrices, T₁ = 0 and T₂ ~ N(0, 0.02²) at the start.

    The learning rate's prior is the best of 1e-3, 4e-3 and 1e-2 on the word-order task.
    """

    learning_rate: float = Field(default=4e-3, gt=0, description="Peak learning rate of T₁ and T₂.")
    symmetric: bool = Field(
        default=True, description="Symmetric factors (the paper's), N numbers each; otherwise 2N − 1 each."
    )


class Toeplitz(Structured[ToeplitzConfiguration]):
    """Trains and ships 2N parameters for a matrix of order N, 4N − 2 where the factors are not symmetric."""

    name = "surm-toeplitz"
    summary = "product of two Toeplitz matrices, full rank"
    configuration = ToeplitzConfiguration
    knobs = {"symmetric": Choice((True, False))}  # noqa: RUF012

    def factor_shapes(self, configuration: ToeplitzConfiguration, block: Grid) -> tuple[Shape, Shape]:
        return toeplitz_shapes(configuration.symmetric, block)

    def sizes(
        self, configuration: ToeplitzConfiguration, shapes: Counter[tuple[int, int]], allowance: int
    ) -> Iterator[ToeplitzConfiguration]:
        return block_sizes(configuration, shapes)


def toeplitz_shapes(symmetric: bool, block: Grid) -> tuple[Shape, Shape]:
    """Return the shapes of T₁ and T₂: a first column, or all diagonals."""
    length = block.order if symmetric else 2 * block.order - 1
    return (length,), (length,)


METHODS = (Toeplitz(),)
