"""Entries of a product of tall matrices, added up token by token in compiled code: nothing is turned round or dense.

Imported only where it is used, since numba costs an import of its own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[Any]
Indices = NDArray[np.unsignedinteger[Any]]

_TOKENS = 256
"""Tokens that a thread takes at a time: the sums do not depend on how many threads there are."""

_ALONE = 500_000
"""Products for which one thread is enough: about half a millisecond of them."""


def _add(left: Floats, right: Floats, rows: Indices, columns: Indices, sums: Floats) -> None:
    """Add Σ_t left[t, row] · right[t, column] to each of `sums`; four tokens a turn, which reads the indices once."""
    whole = len(left) // 4 * 4
    for token in range(0, whole, 4):
        for entry in range(len(rows)):
            row, column = rows[entry], columns[entry]
            sums[entry] += (
                left[token, row] * right[token, column]
                + left[token + 1, row] * right[token + 1, column]
                + left[token + 2, row] * right[token + 2, column]
                + left[token + 3, row] * right[token + 3, column]
            )
    for token in range(whole, len(left)):
        for entry in range(len(rows)):
            sums[entry] += left[token, rows[entry]] * right[token, columns[entry]]


@cache
def _compiled() -> Callable[..., None]:
    """`_add` as machine code, kept on the disk where there is a place for it; it holds no lock of the interpreter."""
    try:
        kept: Callable[..., None] = numba.njit(nogil=True, fastmath=True, cache=True)(_add)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(nogil=True, fastmath=True)(_add)  # type: ignore[no-any-return]
    return kept


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="gathered")


def sums(left: Tensor, right: Tensor, rows: Indices, columns: Indices) -> Tensor:
    """Σ_t left[t, row] · right[t, column] for each entry, shape (k,), in as many threads as torch has.

    Args:
        left: shape (T, m), float32 or float64, on the CPU.
        right: shape (T, n), of the same type.
        rows: of each entry, shape (k,).
        columns: of each entry, shape (k,).
    """
    one, other = left.detach().contiguous().numpy(), right.detach().contiguous().numpy()
    parts = np.zeros((max(1, math.ceil(len(left) / _TOKENS)), len(rows)), one.dtype)
    waiting = deque(range(len(parts)))
    add = _compiled()

    def work() -> None:
        while waiting:
            try:
                number = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            tokens = slice(number * _TOKENS, (number + 1) * _TOKENS)
            add(one[tokens], other[tokens], rows, columns, parts[number])

    helpers = min(torch.get_num_threads(), len(parts)) - 1 if len(left) * len(rows) > _ALONE else 0
    # This thread works too: torch's own threads spin for a while after a product, and hold up whoever comes new.
    futures = [_pool(helpers).submit(work) for _ in range(helpers)]
    work()
    for future in futures:
        future.result()
    return torch.from_numpy(parts.sum(0))
