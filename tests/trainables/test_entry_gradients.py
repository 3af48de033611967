"""Each way to a gradient at a few entries against the whole product, and the choice among them."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spaces.methods.sparta import choose_entries
from trainables import entry_gradients
from trainables.entry_gradients import Entries, Way, cheapest

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
    found = [entries.product(left, right, way) for way in (*WAYS, None)]
    for one in (*found, entries.sliced(left, right)):
        torch.testing.assert_close(one.double(), expected, atol=tolerance, rtol=tolerance)


def test_entries_are_multiplied_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_gradients, "_SLICE", 20)
    entries = entries_of(8, 9, 31)
    left, right = factors(7, 8, 9, torch.float32)
    torch.testing.assert_close(entries.sliced(left, right), entries.product(left, right, "dense"))


def test_where_torch_has_no_sampled_product_the_entries_are_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_gradients, "_MKL", False)
    monkeypatch.delattr(torch.sparse, "sampled_addmm")
    entries = entries_of(8, 9, 31)
    left, right = factors(7, 8, 9, torch.float32)
    torch.testing.assert_close(entries.product(left, right, "sampled"), entries.product(left, right, "dense"))


@pytest.mark.parametrize(
    ("side", "tokens", "density", "way"),
    [
        (4096, 1024, 0.0005, "sampled"),
        (4096, 1024, 0.01, "sampled"),
        (4096, 1024, 0.5, "dense"),
        (384, 2048, 0.0005, "touched"),
        (384, 2048, 0.001, "touched"),
        (384, 2048, 0.05, "dense"),
    ],
)
def test_the_way_measured_to_be_the_fastest_is_chosen(side: int, tokens: int, density: float, way: Way) -> None:
    """Measured on two cores, for weights of these shapes."""
    count = int(density * side * side)
    touched = round(side * (1 - (1 - 1 / side) ** count))
    assert cheapest(tokens, side, side, touched=(touched, touched), entries=count) == way


@given(st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 4096))
def test_all_entries_are_taken_from_the_dense_product(tokens: int, rows: int, columns: int) -> None:
    for accelerated in (False, True):
        everything = cheapest(
            tokens, rows, columns, touched=(rows, columns), entries=rows * columns, accelerated=accelerated
        )
        assert everything == "dense"


def test_what_the_entries_alone_decide_is_found_once() -> None:
    entries = entries_of(30, 40, 50)
    left, right = factors(5, 30, 40, torch.float32)
    entries.product(left, right, "sampled")
    sample = entries._sample
    entries.product(left, right, "sampled")
    assert entries._sample is sample
    copied = copy.deepcopy(entries)
    assert torch.equal(copied.product(left, right, "sampled"), entries.product(left, right, "sampled"))
