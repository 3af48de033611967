"""A budget against counts: the head, and the excess."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.model.budget import Budget, Count


@given(st.integers(1, 10**7), st.integers(0, 10**4), st.integers(0, 10**8), st.booleans())
def test_the_excess_is_positive_exactly_outside(trainable: int, head: int, weight: int, counted: bool) -> None:
    budget = Budget(100_000, 100, bytes=400_000, count_head=counted)
    spent = trainable + head * counted
    inside = 100 <= spent <= 100_000 and weight <= 400_000
    assert (budget.excess(Count(trainable, trainable, weight, head, 10**8, trainable, ())) <= 0) == inside


@pytest.mark.parametrize(
    ("trainable", "weight", "expected"),
    [(1_000, 0, -1.0), (1_000_000, 0, 1.0), (10, 0, 1.0), (0, 0, 2.0), (1_000, 4_000_000, 1.0), (100, 40, 0.0)],
)
def test_the_excess_is_in_powers_of_ten(trainable: int, weight: int, expected: float) -> None:
    budget = Budget(100_000, 100, bytes=400_000)
    assert budget.excess(Count(trainable, trainable, weight, 0, 10**8, trainable, ())) == pytest.approx(expected)


def test_without_a_limit_bytes_never_exceed() -> None:
    count = Count(1_000, 1_000, 10**15, 0, 10**8, 1_000, ())
    assert Budget(100_000, 100).excess(count) == -1.0
    assert Budget(100_000, 100, bytes=10**14).excess(count) == math.log10(10)


@pytest.mark.parametrize("counted", [True, False])
def test_the_head_counts_whole_or_not_at_all(counted: bool) -> None:
    budget, count = Budget(100, 1, count_head=counted), Count(40, 40, 160, 70, 10**8, 40, ())
    assert (budget.head(count), budget.trainable(count)) == ((70, 110) if counted else (0, 40))
    assert (budget.excess(count) > 0) == counted
