"""SURM's family of low displacement rank (arXiv 2406.17740)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from spaces.methods._surm import Structured, SurmConfiguration
from spaces.methods.base.block_grid import Grid, Shape, grid


class LowDisplacementRankConfiguration(SurmConfiguration):
    """ΔW = α · W(G, H) = α · Σᵢ Z₁(gᵢ) Z₋₁(hᵢ), i = 1 … r: circulants times skew-circulants.

    G = 0 and H ~ N(0, 0.02²) at the start. r = 1 contains the circulants, r = 2 the Toeplitz matrices, r = N all. The
    learning rate's prior is the best of 1e-3, 4e-3 and 1e-2 on the word-order task.
    """

    learning_rate: float = Field(default=4e-3, gt=0, description="Peak learning rate of G and H.")
    displacement_rank: int = Field(default=1, ge=1, description="Number r of terms, at most the order of a block.")


class LowDisplacementRank(Structured[LowDisplacementRankConfiguration]):
    """Trains and ships 2Nr parameters for a matrix of order N."""

    name = "surm-ldr"
    summary = "sum of circulants times skew-circulants, full rank"
    configuration = LowDisplacementRankConfiguration
    size_knob = "displacement_rank"

    def factor_shapes(self, configuration: LowDisplacementRankConfiguration, block: Grid) -> tuple[Shape, Shape]:
        return displacement_shapes(configuration.displacement_rank, block)

    def sizes(
        self, configuration: LowDisplacementRankConfiguration, shapes: Counter[tuple[int, int]], allowance: int
    ) -> Iterator[LowDisplacementRankConfiguration]:
        """Yield rank 1 and the largest within the allowance; from N/2 on there are as many parameters as entries."""
        first = configuration.model_copy(update={"displacement_rank": 1})
        yield first
        orders = [grid(configuration.block_size, *shape).order for shape in shapes]
        second = configuration.model_copy(update={"displacement_rank": 2})
        if min(orders) < 4:
            return
        least = self._total(first, shapes)
        rank = 1 + (allowance - least) // (self._total(second, shapes) - least)
        yield configuration.model_copy(update={"displacement_rank": max(1, min(rank, min(orders) // 2))})


def displacement_shapes(rank: int, block: Grid) -> tuple[Shape, Shape]:
    """Return the shapes of G and H, with a generator in each row.

    Raises:
        ValueError: when the rank is above the order.
    """
    if rank > block.order:
        raise ValueError(
            f"displacement_rank = {rank} is above the order of {block.height} × {block.width}; "
            f"allowed: 1 to {block.order}"
        )
    return (rank, block.order), (rank, block.order)


METHODS = (LowDisplacementRank(),)
