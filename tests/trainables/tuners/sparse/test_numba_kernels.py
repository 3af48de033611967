"""Compiled code gives the entries of the product, for any shape, layout and number of threads."""

from __future__ import annotations

from typing import Any

import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.entry_products import entries_of, factors
from trainables.tuners.sparse import numba_kernels
from trainables.tuners.sparse.entry_gradients import Way


@given(st.integers(0, 300), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_compiled_code_takes_any_number_of_tokens(tokens: int, rows: int, columns: int) -> None:
    entries = entries_of(rows, columns, max(1, rows * columns // 3))
    left, right = factors(tokens, rows, columns, torch.float64)
    expected = entries.product(left, right, "dense")
    for way in ("gathered", "turned"):
        torch.testing.assert_close(entries.product(left, right, way), expected)


@pytest.mark.parametrize("way", ["gathered", "turned"])
def test_threads_share_the_tokens_and_change_nothing(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_kernels, "_ALONE", 50)
    monkeypatch.setattr(numba_kernels, "_TOKENS", 3)
    entries = entries_of(8, 9, 31)
    left, right = factors(11, 8, 9, torch.float32)
    found = []
    for threads in (1, 2, 3, 9):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(entries.product(left, right, way))
    torch.testing.assert_close(found[0], entries.product(left, right, "dense"))
    assert all(torch.equal(found[0], other) for other in found)


def test_factors_may_lie_in_memory_in_any_way() -> None:
    left, right = factors(8, 7, 9, torch.float32)[0].T, torch.ones(9).expand(7, 9)
    entries = entries_of(8, 9, 31)
    for way in ("gathered", "turned"):
        torch.testing.assert_close(entries.product(left, right, way), entries.product(left, right, "dense"))


def test_what_is_compiled_need_not_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_function = numba.njit

    def refusing(**options: bool) -> Any:
        if "cache" in options:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_function(**options)

    monkeypatch.setattr(numba, "njit", refusing)
    numba_kernels._compiled.cache_clear()
    try:
        entries = entries_of(8, 9, 31)
        left, right = factors(6, 8, 9, torch.float32)
        torch.testing.assert_close(entries.product(left, right, "gathered"), entries.product(left, right, "dense"))
    finally:
        numba_kernels._compiled.cache_clear()


@pytest.mark.parametrize(("tokens", "threads", "helpers"), [(11, 3, [2]), (6, 3, [1]), (11, 1, []), (2, 3, [])])
def test_as_many_threads_work_as_torch_has_and_there_are_parts(
    tokens: int, threads: int, helpers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is the thread that asks."""
    asked, pool = [], numba_kernels._pool
    monkeypatch.setattr(numba_kernels, "_ALONE", 0)
    monkeypatch.setattr(numba_kernels, "_TOKENS", 3)
    monkeypatch.setattr(numba_kernels, "_pool", lambda count: asked.append(count) or pool(count))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    entries_of(8, 9, 31).product(*factors(tokens, 8, 9, torch.float32), "gathered")
    assert list(dict.fromkeys(asked)) == helpers
