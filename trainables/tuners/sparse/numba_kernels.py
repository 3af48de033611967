"""Compiled code for some entries of a product of two tall matrices, without a dense product.

For few entries it adds up token by token. For more, blocks of tokens are transposed, so that every entry is a dot
product of two contiguous vectors in the cache.

Imported only when it is used, because importing numba takes a while.
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
import numpy.typing as npt
import torch
from numba.extending import register_jitable
from torch import Tensor

Floats = npt.NDArray[Any]
Indices = npt.NDArray[np.unsignedinteger[Any]]

_TOKENS = 256
"""Tokens that a thread takes at a time. A fixed number, so that sums do not depend on the number of threads."""

_TURNED = 64
"""Tokens that are transposed at a time: with 2,000 numbers each they take half a megabyte."""

_GROUP = 8
"""Tokens that are read at once: this many distant rows stay in the cache, whatever their distance."""

_ALONE = 500_000
"""Products up to which one thread is enough: about half a millisecond."""


def _add(left: Floats, right: Floats, rows: Indices, columns: Indices, sums: Floats) -> None:
    """Add Σ_t left[t, row] · right[t, column] to each of `sums`, four tokens at a time, which read the indices once."""
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


@register_jitable  # type: ignore[untyped-decorator]
def _turn(given: Floats, turned: Floats) -> None:
    """Write (tokens, width) as (width, tokens), in 4 × 4 blocks, which become shuffles of registers."""
    tokens, width = given.shape
    whole_tokens, whole_width = tokens // 4 * 4, width // 4 * 4
    for first in range(0, whole_tokens, _GROUP):
        for place in range(0, whole_width, 4):
            for token in range(first, min(first + _GROUP, whole_tokens), 4):
                for row in range(4):
                    for column in range(4):
                        turned[place + row, token + column] = given[token + column, place + row]
    for place in range(width):
        for token in range(0 if place >= whole_width else whole_tokens, tokens):
            turned[place, token] = given[token, place]


def _add_turned(
    left: Floats,
    right: Floats,
    rows: Indices,
    columns: Indices,
    sums: Floats,
    turned_left: Floats,
    turned_right: Floats,
) -> None:
    """Do the same as `_add`, by way of transposed blocks.

    The last two arguments, of shapes (m, _TURNED) and (n, _TURNED), are overwritten.
    """
    for start in range(0, len(left), _TURNED):
        tokens = min(_TURNED, len(left) - start)
        if tokens < _TURNED:
            turned_left[:, tokens:] = 0
            turned_right[:, tokens:] = 0
        _turn(left[start : start + tokens], turned_left)
        _turn(right[start : start + tokens], turned_right)
        for entry in range(len(rows)):
            row, column = rows[entry], columns[entry]
            total = sums[entry]
            for token in range(_TURNED):
                total += turned_left[row, token] * turned_right[column, token]
            sums[entry] = total


@cache
def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Return machine code, cached on the disk if a folder can be written; it releases the interpreter's lock."""
    try:
        kept: Callable[..., None] = numba.njit(nogil=True, fastmath=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(nogil=True, fastmath=True)(function)  # type: ignore[no-any-return]
    return kept


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="gathered")


def sums(left: Tensor, right: Tensor, rows: Indices, columns: Indices, *, turned: bool) -> Tensor:
    """Return Σ_t left[t, row] · right[t, column] for each entry, shape (k,), in as many threads as torch has.

    Args:
        left: shape (T, m), float32 or float64, on the CPU.
        right: shape (T, n), of the same type.
        rows: row of each entry, shape (k,).
        columns: column of each entry, shape (k,).
        turned: whether tokens are transposed first, which pays off for many entries.
    """
    one, other = left.detach().contiguous().numpy(), right.detach().contiguous().numpy()
    parts = np.zeros((max(1, math.ceil(len(left) / _TOKENS)), len(rows)), one.dtype)
    waiting = deque(range(len(parts)))
    add = _compiled(_add_turned if turned else _add)

    def work() -> None:
        sides = (one.shape[1], other.shape[1]) if turned else ()
        scratch = [np.empty((side, _TURNED), one.dtype) for side in sides]
        while waiting:
            try:
                number = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            tokens = slice(number * _TOKENS, (number + 1) * _TOKENS)
            add(one[tokens], other[tokens], rows, columns, parts[number], *scratch)

    helpers = min(torch.get_num_threads(), len(parts)) - 1 if len(left) * len(rows) > _ALONE else 0
    # This thread works too: torch's threads spin for a while after a product, and delay newly started ones.
    futures = [_pool(helpers).submit(work) for _ in range(helpers)]
    work()
    for future in futures:
        future.result()
    return torch.from_numpy(parts.sum(0))
