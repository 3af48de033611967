"""Entries and factors of products of tall matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.methods.sparta import choose_entries
from trainables.tuners.sparse.entry_gradients import Entries


def entries_of(rows: int, columns: int, count: int) -> Entries:
    (flat,) = choose_entries([rows * columns], count, seed=1)
    return Entries(torch.from_numpy(flat), (rows, columns))


def factors(tokens: int, rows: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(tokens, side, generator=generator).to(dtype) for side in (rows, columns))
    return left, right
