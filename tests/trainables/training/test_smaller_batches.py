"""Batches are halved until memory suffices, and only then."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.training.smaller_batches import OutOfMemory, smaller_batches


def allocating(most: int, tried: list[int]) -> object:
    """Runs out of memory, for real, with more than `most` examples."""

    def run(size: int) -> str:
        tried.append(size)
        if size > most:
            torch.empty(2**60, dtype=torch.uint8)
        return f"of {size}"

    return run


@given(st.integers(1, 100), st.integers(1, 100))
def test_the_first_half_that_fits_is_taken(size: int, most: int) -> None:
    tried: list[int] = []
    result, found = smaller_batches(allocating(most, tried), size)  # type: ignore[arg-type]
    assert result == f"of {found}"
    assert found <= max(1, most)
    assert tried[0] == size
    assert all(second == first // 2 for first, second in itertools.pairwise(tried))
    assert all(one > most for one in tried[:-1])


def test_a_single_example_that_does_not_fit_is_an_error() -> None:
    tried: list[int] = []
    with pytest.raises(OutOfMemory, match="allocate"):
        smaller_batches(allocating(0, tried), 5)  # type: ignore[arg-type]
    assert tried == [5, 2, 1]


def test_other_errors_pass_at_once() -> None:
    calls = []

    def fail(size: int) -> None:
        calls.append(size)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        smaller_batches(fail, 8)
    assert calls == [8]
