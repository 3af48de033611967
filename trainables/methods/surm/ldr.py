"""SURM's family of low displacement rank as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from spaces.methods.base.block_grid import Grid, Shape
from spaces.methods.surm_ldr import LowDisplacementRankConfiguration, displacement_shapes
from trainables.methods.surm.layer import Kernels, SurmConfig, SurmLayer
from trainables.methods.surm.tuner import SurmAdapter, SurmModel
from trainables.tuners.base import tuner
from trainables.tuners.structured.displacement import composed, dense, matvec


@dataclass
class LowDisplacementRankConfig(SurmConfig):
    """ΔW = α · Σᵢ Z₁(gᵢ) Z₋₁(hᵢ)."""

    displacement_rank: int = field(default=1, metadata={"help": "Number of terms."})


class LowDisplacementRankLayer(SurmLayer):
    """Matrices of low displacement rank from G and H, shape (p, q, r, N)."""

    prefix = "surm_ldr_"
    spread = 0.02

    def factor_shapes(self, config: Any, block: Grid) -> tuple[Shape, Shape]:
        """Return the shapes of G and H."""
        return displacement_shapes(config.displacement_rank, block)

    def matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """Return W(G, H) x, in O(r N log N)."""
        g, h = kernels
        return matvec(g, h, x, block.height)

    def matrices(self, kernels: Kernels, block: Grid) -> Tensor:
        """Return the upper left parts of W(G, H)."""
        g, h = kernels
        return dense(g, h, block.height, block.width)

    def composed(self, kernels: Kernels, block: Grid) -> Tensor:
        """Multiply the circulants by the columns of the skew-circulants, by transforms."""
        if block.down * block.across > 1:
            return super().composed(kernels, block)
        g, h = (one[0, 0] for one in kernels)
        return composed(g, h, block.height, block.width)


@tuner("surm_ldr", LowDisplacementRankConfig)
class LowDisplacementRankModel(SurmModel):
    """The tuner of the family of low displacement rank. It ships both factors."""

    tuner_layer_cls = LowDisplacementRankLayer


class LowDisplacementRank(SurmAdapter[LowDisplacementRankConfiguration]):
    """A sum of circulants times skew-circulants."""

    name = "surm-ldr"
    config = LowDisplacementRankConfig


ADAPTERS = (LowDisplacementRank(),)
