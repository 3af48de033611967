"""SURM's Toeplitz family as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from spaces.methods.base.block_grid import Grid, Shape
from spaces.methods.surm_toeplitz import ToeplitzConfiguration, toeplitz_shapes
from trainables.methods.surm.layer import Kernels, SurmConfig, SurmLayer
from trainables.methods.surm.tuner import SurmAdapter, SurmModel
from trainables.tuners.base import tuner
from trainables.tuners.structured.toeplitz import crop, dense, matvec, symmetric

DENSE_ORDER = 512
"""Up to this order, a product of two matrices was measured to be faster than transforms, on two cores."""


@dataclass
class ToeplitzConfig(SurmConfig):
    """ΔW = α · T₂ T₁."""

    symmetric: bool = field(default=True, metadata={"help": "Whether both factors are symmetric."})


class ToeplitzLayer(SurmLayer):
    """Products T₂ T₁ of Toeplitz matrices, stored as first columns, (p, q, N), or as diagonals, (p, q, 2N − 1)."""

    prefix = "surm_toeplitz_"
    spread = 0.02

    def factor_shapes(self, config: Any, block: Grid) -> tuple[Shape, Shape]:
        """Return the shapes of T₁ and T₂."""
        return toeplitz_shapes(config.symmetric, block)

    def matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """Return T₂ (T₁ x), in O(N log N)."""
        first, second = _diagonals(kernels, block)
        return matvec(second, matvec(first, x, block.order), block.height)

    def matrices(self, kernels: Kernels, block: Grid) -> Tensor:
        """Return the upper left parts of T₂ T₁."""
        first, second = _diagonals(kernels, block)
        return dense(second, block.height, block.order) @ dense(first, block.order, block.width)

    def composed(self, kernels: Kernels, block: Grid) -> Tensor:
        """Multiply T₂ by the columns of T₁, by transforms when a product of two matrices costs more."""
        if block.down * block.across > 1 or block.order <= DENSE_ORDER:
            return super().composed(kernels, block)
        first, second = _diagonals(tuple(one[0, 0] for one in kernels), block)
        return matvec(second, dense(first, block.order, block.width).mT, block.height).mT


def _diagonals(kernels: Kernels, block: Grid) -> tuple[Tensor, Tensor]:
    """Return the diagonals of T₁, cropped to N × width, and of T₂, cropped to height × N."""
    first, second = (symmetric(one) if one.shape[-1] == block.order else one for one in kernels)
    return crop(first, block.order, block.width), crop(second, block.height, block.order)


@tuner("surm_toeplitz", ToeplitzConfig)
class ToeplitzModel(SurmModel):
    """The tuner of the Toeplitz family. It ships both factors, because their product is not a Toeplitz matrix."""

    tuner_layer_cls = ToeplitzLayer


class Toeplitz(SurmAdapter[ToeplitzConfiguration]):
    """A product of two Toeplitz matrices."""

    name = "surm-toeplitz"
    config = ToeplitzConfig


ADAPTERS = (Toeplitz(),)
