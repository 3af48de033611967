"""Each way to a gradient at a few entries against the whole product, and the choice among them."""

from __future__ import annotations

import copy
from typing import Any, get_args

import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spaces.methods.sparta import choose_entries
from trainables.tuners.sparse import numba_kernels
from trainables.tuners.sparse.entry_gradients import Entries, Way, cheapest

WAYS: tuple[Way, ...] = get_args(Way)
SIDES = st.integers(1, 12)


def entries_of(rows: int, columns: int, count: int) -> Entries:
    (flat,) = choose_entries([rows * columns], count, seed=1)
    return Entries(torch.from_numpy(flat), (rows, columns))


def factors(tokens: int, rows: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(tokens, side, generator=generator).to(dtype) for side in (rows, columns))
    return left, right


@given(
    st.integers(0, 9), SIDES, SIDES, st.floats(0, 1), st.sampled_from([torch.float32, torch.float64, torch.bfloat16])
)
@settings(max_examples=80, deadline=None)
def test_every_way_gives_the_entries_of_the_product(
    tokens: int, rows: int, columns: int, density: float, dtype: torch.dtype
) -> None:
    entries = entries_of(rows, columns, max(1, int(density * rows * columns)))
    left, right = factors(tokens, rows, columns, dtype)
    expected = (left.double().T @ right.double()).reshape(-1)[entries.flat.long()]
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 0.1}[dtype]
    for way in (*WAYS, None):
        one = entries.product(left, right, way)
        torch.testing.assert_close(one.double(), expected, atol=tolerance, rtol=tolerance)


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


def test_on_a_gpu_entries_are_sampled_where_they_are_few_of_a_large_weight() -> None:
    assert cheapest(1024, 4096, 4096, 160, accelerated=True) == "sampled"
    assert cheapest(1024, 384, 384, 160, accelerated=True) == "dense"


@pytest.mark.parametrize(
    ("rows", "columns", "tokens", "density", "way"),
    [
        (4096, 4096, 1024, 0.0005, "gathered"),
        (4096, 4096, 1024, 0.0039, "turned"),
        (4096, 4096, 1024, 0.01, "turned"),
        (4096, 4096, 1024, 0.5, "dense"),
        (1536, 384, 2048, 0.01, "turned"),
        (384, 384, 2048, 0.0005, "gathered"),
        (384, 384, 2048, 0.01, "turned"),
        (384, 384, 2048, 0.05, "turned"),
        (384, 384, 2048, 0.25, "dense"),
    ],
)
def test_the_way_measured_to_be_the_fastest_is_chosen(
    rows: int, columns: int, tokens: int, density: float, way: Way
) -> None:
    """Measured on one core and on two, for weights of these shapes."""
    assert cheapest(tokens, rows, columns, int(density * rows * columns)) == way


@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 4096))
def test_all_entries_are_taken_from_the_dense_product(tokens: int, rows: int, columns: int) -> None:
    for accelerated in (False, True):
        assert cheapest(tokens, rows, columns, rows * columns, accelerated=accelerated) == "dense"


def test_what_the_entries_alone_decide_is_found_once() -> None:
    entries = entries_of(30, 40, 50)
    left, right = factors(5, 30, 40, torch.float32)
    entries.product(left, right, "sampled")
    sample = entries._sample
    entries.product(left, right, "sampled")
    assert entries._sample is sample
    copied = copy.deepcopy(entries)
    assert torch.equal(copied.product(left, right, "sampled"), entries.product(left, right, "sampled"))
