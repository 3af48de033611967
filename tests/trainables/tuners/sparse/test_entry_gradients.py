"""Each way to a gradient at a few entries against the whole product, and the choice among them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.entry_products import entries_of, factors
from trainables.tuners.sparse import numba_kernels
from trainables.tuners.sparse.entry_gradients import Way, cheapest

WAYS: tuple[Way, ...] = get_args(Way)
SIDES = st.integers(1, 12)


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


@pytest.mark.parametrize("way", ["gathered", "turned"])
def test_tokens_are_transposed_exactly_where_it_is_asked_for(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def noting(function: Callable[..., None]) -> Callable[..., None]:
        used.append(function.__name__)
        return function

    monkeypatch.setattr(numba_kernels, "_compiled", noting)
    entries_of(4, 5, 6).product(*factors(3, 4, 5, torch.float32), way)
    assert used == ["_add" if way == "gathered" else "_add_turned"]
