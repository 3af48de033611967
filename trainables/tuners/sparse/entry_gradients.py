"""The gradient of a matrix at a few of its entries, Σ_t left[t, row] · right[t, column], in the cheapest exact way."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.unsignedinteger[Any]]
Way = Literal["dense", "gathered", "turned", "sampled"]

# Costs in multiply-adds of a dense product, measured on one and on two cores. Compiled code reads both numbers of every
# product from the rows, or transposes both factors and then takes one dot product for each entry. `sampled_addmm` does
# the latter too; on a GPU it pays off only if the dense product is far larger. `_WRITTEN`: one number of a result.
_WRITTEN = 20
_GATHERED = 30
_TURNED = 30
_DOT = 5
_ACCELERATED_TURNED = 1000
_ACCELERATED_DOT = 120


def cheapest(tokens: int, rows: int, columns: int, entries: int, *, accelerated: bool = False) -> Way:
    """Return the way that should take the least time.

    Args:
        tokens: length of the sum.
        rows: rows of the matrix.
        columns: columns of the matrix.
        entries: how many entries are wanted.
        accelerated: on a GPU, where everything but a dense product is comparatively expensive.
    """
    costs: dict[Way, int] = {"dense": (tokens + _WRITTEN) * rows * columns}
    if accelerated:
        turned, product = _ACCELERATED_TURNED * tokens * (rows + columns), _ACCELERATED_DOT * tokens
        costs["sampled"] = turned + (product + 10 * _WRITTEN) * entries
    else:
        costs["gathered"] = _GATHERED * tokens * entries
        costs["turned"] = _TURNED * tokens * (rows + columns) + (_DOT * tokens + _WRITTEN) * entries
    return min(costs, key=lambda way: costs[way])


class Entries:
    """Some entries of a parameter. What depends on them alone is computed when it is first needed, and kept."""

    def __init__(self, flat: Tensor, shape: Sequence[int]) -> None:
        """Name the entries.

        Args:
            flat: ascending int32 indices (k,) into the parameter.
            shape: the parameter's, of two dimensions for `way` and `product`.
        """
        self.flat = flat
        self.shape = tuple(shape)

    def __reduce__(self) -> tuple[type[Entries], tuple[Tensor, tuple[int, ...]]]:
        return Entries, (self.flat, self.shape)

    def of(self, parameter: Tensor) -> Tensor:
        """Return the entries (k,) of a tensor of the parameter's shape."""
        return parameter.reshape(-1).index_select(0, self.flat)

    def way(self, tokens: int) -> Way:
        """Return the cheapest way for a product of matrices with `tokens` rows."""
        rows, columns = self.shape
        return cheapest(tokens, rows, columns, len(self.flat), accelerated=self.flat.device.type != "cpu")

    def product(self, left: Tensor, right: Tensor, way: Way | None = None) -> Tensor:
        """Return (leftᵀ right) at the entries, (k,), for left of shape (T, rows) and right of shape (T, columns).

        `dense` computes a temporary product of the whole shape. The other ways never do, and compute narrower types in
        float32. `gathered` and `turned` need a CPU, `sampled` a GPU.
        """
        way = way or self.way(len(left))
        if way == "dense":
            return self.of(left.T @ right)
        if left.dtype not in (torch.float32, torch.float64):
            left, right = left.float(), right.float()
        if way != "sampled":
            from trainables.tuners.sparse.numba_kernels import sums  # most trainings do not need the compiler

            return sums(left, right, *self._places(), turned=way == "turned")
        values: Tensor = torch.sparse.sampled_addmm(self._sample.to(left.dtype), left.T, right, beta=0.0).values()
        return values

    def rows(self) -> Tensor:
        """Return the row of each entry, (k,)."""
        return self.flat // self.shape[1]

    def columns(self) -> Tensor:
        """Return the column of each entry, (k,)."""
        return self.flat % self.shape[1]

    def _places(self) -> tuple[Indices, Indices]:
        """Return the row and column of each entry, unsigned, so that compiled code need not handle negative indices.

        They are computed anew each time: that costs little beside a sum over all tokens, and they would take memory for
        every parameter.
        """
        flat, width = self.flat.numpy(), self.shape[1]
        rows = flat // width
        return rows.view(np.uint32), (flat - rows * width).view(np.uint32)

    @cached_property
    def _sample(self) -> Tensor:
        """A matrix in compressed sparse rows with 0 at the entries."""
        counts = torch.bincount(self.rows(), minlength=self.shape[0])
        ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
        values = torch.zeros(len(self.flat), device=self.flat.device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            return torch.sparse_csr_tensor(ends, self.columns(), values, self.shape, check_invariants=False)
