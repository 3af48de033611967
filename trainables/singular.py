"""The leading singular vectors of a weight: the same ones on every machine, computed once a weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.weak import WeakIdKeyDictionary

_known: WeakIdKeyDictionary = WeakIdKeyDictionary()


@torch.no_grad()
def leading(weight: Tensor, rank: int, transposed: bool = False) -> tuple[Tensor, Tensor]:
    """Uᵣ of shape (out, rank) and Σᵣ Vᵣᵀ of shape (rank, in), float32; `transposed`: `weight` is (in, out).

    In float64, so that rounding, which differs between machines, does not turn close singular vectors into each other.
    The signs are those of positive products with one fixed vector. A result is kept as long as its weight, which nobody
    may write to.

    Raises:
        ValueError: when the weight has fewer singular vectors.
    """
    if rank > min(weight.shape):
        rows, columns = weight.shape
        raise ValueError(f"rank = {rank}: the weight is {rows} × {columns}; allowed: at most {min(rows, columns)}")
    found: tuple[Tensor, Tensor] | None = _known.get(weight)  # type: ignore[no-untyped-call]
    if found is None or len(found[1]) < rank:
        matrix = weight.detach().double()
        left, values, right = torch.linalg.svd(matrix.T if transposed else matrix, full_matrices=False)
        left, values, right = left[:, :rank], values[:rank, None], right[:rank]
        signs = torch.where(_marks(right) < 0, -1.0, 1.0)
        found = _known[weight] = ((left * signs).float(), (values * right * signs[:, None]).float())
    return found[0][:, :rank], found[1][:rank]


def fingerprint(left: Tensor, right: Tensor) -> Tensor:
    """A number for each pair of vectors in `left` (rows, rank) and `right` (rank, columns) by which it is recognised.

    Depends on directions alone; int32, in thousandths. Those of the same weight differ by at most 1.
    """
    return ((_marks(left.T) + _marks(right)) * 1000).round().int()


def _marks(vectors: Tensor) -> Tensor:
    """Products of the directions of `vectors` (rank, length) with (cos 1, cos 2, …), float64."""
    fixed = torch.arange(1, vectors.shape[1] + 1, dtype=torch.float64, device=vectors.device).cos()
    return normalize(vectors.double(), dim=1) @ fixed
