"""SURM's Kronecker family as a PEFT tuner. With a square left factor PEFT's LoKr computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from peft import LoKrConfig, PeftConfig
from torch import Tensor
from torch.nn.functional import pad

from spaces.methods.base.block_grid import Grid, Shape
from spaces.methods.surm_kronecker import Factors, KroneckerConfiguration, kronecker_shapes
from trainables.methods.surm.layer import Kernels, SurmConfig, SurmLayer
from trainables.methods.surm.tuner import SurmAdapter, SurmModel
from trainables.tuners.adapter import NoStockForm
from trainables.tuners.base import tuner
from trainables.tuners.structured.kronecker import dense, matvec


@dataclass
class KroneckerConfig(SurmConfig):
    """ΔW = α · A ⊗ B."""

    factors: Factors = field(default="paper", metadata={"help": "Shapes of A and B: the paper's, or a square A."})


class KroneckerLayer(SurmLayer):
    """Kronecker products of A and B, shape (p, q, …)."""

    prefix = "surm_kronecker_"

    def factor_shapes(self, config: Any, block: Grid) -> tuple[Shape, Shape]:
        """Return the shapes of A and B."""
        return kronecker_shapes(config.factors, block)

    def spread_of(self, config: Any, shape: Sequence[int]) -> float:
        """Return the authors' values: beside a weight torch's `kaiming_uniform_` with a = √5, behind it 0.02."""
        return float((3 * shape[-1]) ** -0.5) if config.placement == "lora" else 0.02

    def matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """Return A X Bᵀ."""
        left, right = kernels
        missing = left.shape[-1] * right.shape[-1] - block.width
        return matvec(left, right, pad(x, (0, missing)))[..., : block.height]

    def matrices(self, kernels: Kernels, block: Grid) -> Tensor:
        """Return the upper left parts of A ⊗ B."""
        left, right = kernels
        return dense(left, right)[..., : block.height, : block.width]


@tuner("surm_kronecker", KroneckerConfig)
class KroneckerModel(SurmModel):
    """The tuner of the Kronecker family. It ships both factors."""

    tuner_layer_cls = KroneckerLayer


class Kronecker(SurmAdapter[KroneckerConfiguration]):
    """A Kronecker product."""

    name = "surm-kronecker"
    config = KroneckerConfig

    def stock_form(self, layers: dict[str, SurmLayer], adapter: str) -> tuple[PeftConfig, dict[str, Tensor]]:
        """Return LoKr's form. LoKr divides both sides of all weights by one number, and scales by alpha / r."""
        sides, rank, tensors = set(), 1, {}
        for name, layer in layers.items():
            left, right = (one.detach() for one in layer.kernels(adapter))
            block = layer.grid(adapter)
            if block.down * block.across != 1:
                raise NoStockForm(f"{name}: LoKr holds no grid of blocks; allowed: block_size = whole")
            rows, columns, *rest = left.shape[2:] + right.shape[2:]
            if rows != columns or (rows * rest[0], columns * rest[1]) != (block.height, block.width):
                raise NoStockForm(
                    f"{name}: LoKr holds a square left factor and no crop, and this is {rows} × {columns} ⊗ "
                    f"{rest[0]} × {rest[1]}; allowed: factors = square"
                )
            sides.add(rows)
            if len(sides) > 1:
                raise NoStockForm(f"{name}: LoKr has one size of left factors, and these are {sorted(sides)}")
            rank = max(rank, *rest)  # from which on LoKr keeps the right factor whole
            tensors[f"{name}.lokr_w1"] = left[0, 0].contiguous()
            tensors[f"{name}.lokr_w2"] = right[0, 0].contiguous()
        return LoKrConfig(r=rank, alpha=rank, decompose_factor=sides.pop()), tensors


ADAPTERS = (Kronecker(),)
