"""SURM's circulant family as a PEFT tuner. For square blocks PEFT's C3A (arXiv 2407.19342) computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peft import C3AConfig, PeftConfig
from torch import Tensor

from spaces.methods.base.block_grid import Grid, Shape
from spaces.methods.surm_circulant import CirculantConfiguration, circulant_shapes
from trainables.methods.surm.layer import Kernels, SurmConfig, SurmLayer
from trainables.methods.surm.tuner import SurmAdapter, SurmModel
from trainables.tuners.adapter import NoStockForm
from trainables.tuners.base import tuner
from trainables.tuners.structured.circulant import correlation, dense, grid_matvec, matvec
from trainables.tuners.structured.fused_update import Gather


@dataclass
class CirculantConfig(SurmConfig):
    """ΔW = α · C(r₁ ⊙ r₂)."""


class CirculantLayer(SurmLayer):
    """Circulants with first columns r₁ ⊙ r₂, each of shape (p, q, N)."""

    prefix = "surm_circulant_"
    ships_product = True

    def factor_shapes(self, config: Any, block: Grid) -> tuple[Shape, Shape]:
        """Return the shapes of r₁ and r₂."""
        return circulant_shapes(block)

    def spread_of(self, config: Any, shape: Sequence[int]) -> float:
        """Return 1 beside a weight and 0.02 behind it, as in the authors' code."""
        return 1.0 if config.placement == "lora" else 0.02

    def matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """Return C x, in O(N log N)."""
        return matvec(kernels[0], x, block.height)

    def grid_matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """Multiply in the frequency domain, with no matrix in memory."""
        return grid_matvec(kernels[0], x)

    def matrices(self, kernels: Kernels, block: Grid) -> Tensor:
        """Return the circulants' upper left parts."""
        return dense(kernels[0], block.height, block.width)

    def gather(self, kernels: Kernels, block: Grid) -> Gather | None:
        """Return a gradient by two transforms in place of a product of matrices; None for a grid of blocks."""
        if block.down * block.across > 1:
            return None
        order = kernels[0].shape[-1]
        return lambda outer, inner: (correlation(outer, inner, order)[None, None],)


@tuner("surm_circulant", CirculantConfig)
class CirculantModel(SurmModel):
    """The tuner of the circulant family. It ships only the product r₁ ⊙ r₂."""

    tuner_layer_cls = CirculantLayer


class Circulant(SurmAdapter[CirculantConfiguration]):
    """A product of two circulants."""

    name = "surm-circulant"
    config = CirculantConfig

    def stock_form(self, layers: dict[str, SurmLayer], adapter: str) -> tuple[PeftConfig, dict[str, Tensor]]:
        """Return C3A's form. C3A correlates where a circulant convolves, and divides by the number of inputs."""
        sizes, tensors = {}, {}
        for name, layer in layers.items():
            block = layer.grid(adapter)
            if block.height != block.width:
                raise NoStockForm(
                    f"{name}: C3A holds square blocks, and this is the crop of {block.height} × {block.width} of a "
                    "circulant; allowed: a block_size that divides both"
                )
            sizes[name] = block.order
            (column,) = layer.kernels(adapter)
            reversed_column = column.detach().flip(-1).roll(1, -1)
            tensors[f"{name}.c3a_kernel"] = (reversed_column * layer.in_features).contiguous()
        pattern = {} if len(set(sizes.values())) == 1 else sizes
        config = C3AConfig(block_size=next(iter(sizes.values())), block_size_pattern=pattern)
        return config, tensors


ADAPTERS = (Circulant(),)
