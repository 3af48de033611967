"""The packed form of values by row: what it keeps, how small it is, and what errors follow from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spaces.trials.row_values import RowValues, average, pack, paired_error, unpack

LIMIT = 2_100  # characters


def packed(values: object) -> RowValues:
    text = pack(np.asarray(values))
    assert text is not None
    assert len(text) <= LIMIT
    found = unpack(text)
    assert found is not None
    return found


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_outcomes_come_back_bit_by_bit(outcomes: list[bool]) -> None:
    found = packed(outcomes)
    assert found.values.tolist() == [float(one) for one in outcomes]
    assert (found.rows, found.group, found.mean) == (len(outcomes), 1, pytest.approx(np.mean(outcomes)))


def test_a_thousand_outcomes_take_125_bytes() -> None:
    generator = np.random.default_rng(0)
    text = pack(generator.random(1_000) < 0.8)
    assert text is not None
    assert len(text) < 4 / 3 * 125 + 40


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100))
def test_numbers_come_back_in_half_precision(values: list[float]) -> None:
    found = packed(values)
    assert found.values == pytest.approx(np.array(values), abs=1e-3 * (np.ptp(values) + 1e-9))


@pytest.mark.parametrize("rows", [751, 12_001, 1_000_003])
@pytest.mark.parametrize("ordered", [False, True])
def test_of_many_rows_groups_give_the_same_mean_and_error(rows: int, ordered: bool) -> None:
    """Also of rows that come sorted, where neighbours are alike."""
    generator = np.random.default_rng(rows)
    left = generator.exponential(size=rows)
    left = np.sort(left) if ordered else left
    right = left + generator.normal(0.01, 0.2, rows)
    ours = [packed(one) for one in (left, right)]
    assert ours[0].mean == pytest.approx(left.mean(), rel=1e-4)
    assert ours[0].error == pytest.approx(stats.sem(left), rel=0.12)
    assert paired_error(*ours) == pytest.approx(stats.sem(left - right), rel=0.12)
    outcomes = packed(left > 1)
    assert outcomes.error == pytest.approx(stats.sem((left > 1).astype(float)), rel=0.12)


def test_a_paired_error_is_scipys() -> None:
    generator = np.random.default_rng(0)
    left, right = (generator.random(500) for _ in range(2))
    ours = paired_error(packed(left), packed(right))
    statistic = (left.mean() - right.mean()) / ours
    assert statistic == pytest.approx(stats.ttest_rel(left, right).statistic, rel=1e-2)
    assert average([packed(left), packed(right)]).mean == pytest.approx((left.mean() + right.mean()) / 2, rel=1e-3)


@pytest.mark.parametrize(
    "text", ["", "bits", "bits 9 ???", "bits 8 AAAA", "numbers 4 0 0.0 1.0 AAAA", "other 1 2", "numbers 5 1 x 1.0 eJw="]
)
def test_what_cannot_be_read_is_none(text: str) -> None:
    assert unpack(text) is None
    assert unpack(None) is None


def test_what_is_not_finite_is_not_kept() -> None:
    assert pack(np.array([1.0, math.nan])) is None
    assert pack(np.array([1.0, math.inf])) is None
    assert pack(np.array([])) is None
