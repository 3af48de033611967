"""SURM's circulant family (arXiv 2406.17740)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from spaces.methods._surm import Structured, SurmConfiguration, block_sizes
from spaces.methods.base.block_grid import Grid, Shape


class CirculantConfiguration(SurmConfiguration):
    """ΔW = α · C(r₁ ⊙ r₂): the Hadamard product of two circulants.

    r₂ ~ N(0, 1) at the start, and N(0, 0.02²) with `placement: adapter`, as in the authors' code.
    """

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of r₁ and r₂.")


class Circulant(Structured[CirculantConfiguration]):
    """Trains 2N parameters for a matrix of order N and ships N: 2mn / b and mn / b in blocks of b."""

    name = "surm-circulant"
    summary = "product of two circulants, full rank"
    configuration = CirculantConfiguration
    ships_product = True

    def factor_shapes(self, configuration: CirculantConfiguration, block: Grid) -> tuple[Shape, Shape]:
        return circulant_shapes(block)

    def sizes(
        self, configuration: CirculantConfiguration, shapes: Counter[tuple[int, int]], allowance: int
    ) -> Iterator[CirculantConfiguration]:
        return block_sizes(configuration, shapes)


def circulant_shapes(block: Grid) -> tuple[Shape, Shape]:
    """Return the shapes of r₁ and r₂."""
    return (block.order,), (block.order,)


METHODS = (Circulant(),)
