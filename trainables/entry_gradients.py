"""The gradient of a matrix at a few of its entries: Σ_t left[t, row] · right[t, column], by the cheapest exact way."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Way = Literal["dense", "touched", "sampled"]

# Costs in multiply-adds of a dense product. On a CPU `sampled_addmm` turns both factors round and then takes one dot
# product for each entry, and rows and columns are picked out number by number. `_WRITTEN`: a number of a result. On a
# GPU neither pays unless the dense product is far larger than both.
_WRITTEN = 20
_PICKED = 160
_TURNED = 110
_SAMPLED = 30
_GPU_FACTOR = 10
_MKL = bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]
_SLICE = 1 << 22  # numbers at once when entries are multiplied without `sampled_addmm`


def cheapest(
    tokens: int, rows: int, columns: int, *, touched: tuple[int, int], entries: int, accelerated: bool = False
) -> Way:
    """The way that should take the least time.

    Args:
        tokens: length of the sum.
        rows: of the matrix.
        columns: of the matrix.
        touched: how many rows and how many columns have an entry.
        entries: how many entries are wanted.
        accelerated: on a GPU, where everything but a dense product costs more in comparison.
    """
    factor = _GPU_FACTOR if accelerated else 1
    picked_rows, picked_columns = touched
    small = tokens * picked_rows * picked_columns + _WRITTEN * picked_rows * picked_columns
    costs: dict[Way, int] = {
        "dense": tokens * rows * columns + _WRITTEN * rows * columns,
        "touched": small + factor * _PICKED * tokens * (picked_rows + picked_columns),
        "sampled": factor * (_TURNED * tokens * (rows + columns) + (_SAMPLED * tokens + _WRITTEN) * entries),
    }
    return min(costs, key=lambda way: costs[way])


class Entries:
    """Some entries of a parameter, and what depends on them alone: found when it is first needed, then kept."""

    def __init__(self, flat: Tensor, shape: Sequence[int]) -> None:
        """`flat`: ascending int32 indices (k,) into a parameter of `shape`."""
        self.flat = flat
        self.shape = tuple(shape)

    def __reduce__(self) -> tuple[type[Entries], tuple[Tensor, tuple[int, ...]]]:
        return Entries, (self.flat, self.shape)

    def of(self, parameter: Tensor) -> Tensor:
        """The entries (k,) of a tensor of the parameter's shape."""
        return parameter.reshape(-1).index_select(0, self.flat)

    def way(self, tokens: int) -> Way:
        """The cheapest way for the product of matrices with `tokens` rows."""
        rows, columns = self.shape
        accelerated = self.flat.device.type != "cpu"
        return cheapest(
            tokens, rows, columns, touched=self._touched_counts, entries=len(self.flat), accelerated=accelerated
        )

    def product(self, left: Tensor, right: Tensor, way: Way | None = None) -> Tensor:
        """(leftᵀ right) at the entries, (k,), for left of shape (T, rows) and right of shape (T, columns).

        `dense` is a transient product of the whole shape; the other two never make one. Sampled products of lower
        types are computed in float32.
        """
        way = way or self.way(len(left))
        if way == "dense":
            return self.of(left.T @ right)
        if way == "touched":
            rows, columns, places = self._touched
            return (left[:, rows].T @ right[:, columns]).reshape(-1).index_select(0, places)
        if left.dtype not in (torch.float32, torch.float64):
            left, right = left.float(), right.float()
        if left.device.type == "cpu" and not _MKL:
            return self.sliced(left, right)
        sample = self._sample.to(left.dtype)
        values: Tensor = torch.sparse.sampled_addmm(sample, left.T, right, beta=0.0).values()
        return values

    def sliced(self, left: Tensor, right: Tensor) -> Tensor:
        """The sampled product where torch has none, some entries at a time."""
        size = max(1, _SLICE // max(1, len(left)))
        pairs = zip(torch.split(self.rows(), size), torch.split(self.columns(), size), strict=True)
        return torch.cat([(left[:, row] * right[:, column]).sum(0) for row, column in pairs])

    def rows(self) -> Tensor:
        """Row of each entry, (k,)."""
        return self.flat // self.shape[1]

    def columns(self) -> Tensor:
        """Column of each entry, (k,)."""
        return self.flat % self.shape[1]

    @cached_property
    def _touched_counts(self) -> tuple[int, int]:
        rows, columns = self.shape
        counts = torch.bincount(self.rows(), minlength=rows), torch.bincount(self.columns(), minlength=columns)
        return int(counts[0].count_nonzero()), int(counts[1].count_nonzero())

    @cached_property
    def _touched(self) -> tuple[Tensor, Tensor, Tensor]:
        """The rows and the columns that have entries, and the flat place of each entry among these."""
        rows, row = torch.unique(self.rows(), return_inverse=True)
        columns, column = torch.unique(self.columns(), return_inverse=True)
        return rows, columns, (row * len(columns) + column).int()

    @cached_property
    def _sample(self) -> Tensor:
        """A matrix of compressed rows with 0 at the entries."""
        counts = torch.bincount(self.rows(), minlength=self.shape[0])
        ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
        values = torch.zeros(len(self.flat), device=self.flat.device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            return torch.sparse_csr_tensor(ends, self.columns(), values, self.shape, check_invariants=False)
