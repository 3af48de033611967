"""Random subsets against the distributions that they are drawn from."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spaces.methods.base import random_subsets
from spaces.methods.base.random_subsets import bernoulli_count, bernoulli_probability, exact_counts, places
from spaces.methods.sparta import choose_entries

DRAWS = 4_000
UNLIKELY = 1e-4


def likelihood(found: Iterable[object], expected: Mapping[object, float]) -> float:
    """How likely draws are to lie as far from the expected shares, by a chi-squared test."""
    counts = Counter(found)
    assert set(counts) <= set(expected)
    observed = [counts[one] for one in expected]
    shares = np.array(list(expected.values()))
    return float(stats.chisquare(observed, shares / shares.sum() * sum(observed)).pvalue)


@pytest.mark.parametrize("block", [1 << 18, 2], ids=["one block", "several blocks"])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_every_subset_is_as_likely_as_any_other(block: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_subsets, "_BLOCK", block)
    starts = np.array([0, 2, 5])
    drawn = []
    for seed in range(DRAWS):
        parts = choose_entries([2, 3, 1], count, seed)
        drawn.append(tuple(int(one) for part, start in zip(parts, starts, strict=True) for one in part + start))
    assert likelihood(drawn, dict.fromkeys(itertools.combinations(range(6), count), 1.0)) > UNLIKELY


def test_counts_are_multivariate_hypergeometric() -> None:
    sizes, count = [30, 70, 15], 40
    drawn = [tuple(exact_counts(sizes, count, np.random.default_rng(seed)).tolist()) for seed in range(DRAWS)]
    assert {sum(one) for one in drawn} == {count}
    for number, size in enumerate(sizes):
        possible = range(size + 1)
        law = stats.hypergeom(sum(sizes), size, count)
        # Rare values together, for a chi-squared test needs a few of each.
        common = {one: law.pmf(one) for one in possible if law.pmf(one) * DRAWS > 5}
        found = [one[number] if one[number] in common else -1 for one in drawn]
        assert likelihood(found, common | {-1: 1 - sum(common.values())}) > UNLIKELY


def test_a_bernoulli_selection_takes_each_entry_by_itself() -> None:
    size, probability = 4, 0.3
    drawn = []
    for seed in range(DRAWS):
        taken = bernoulli_count(size, probability, seed)
        drawn.append(tuple(choose_entries([size], taken, seed)[0].tolist()))
    shares = {
        subset: probability ** len(subset) * (1 - probability) ** (size - len(subset))
        for length in range(size + 1)
        for subset in itertools.combinations(range(size), length)
    }
    assert likelihood(drawn, shares) > UNLIKELY


@given(st.integers(1, 10**12), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_a_larger_probability_takes_no_fewer(size: int, one: float, other: float, seed: int) -> None:
    low, high = sorted((one, other))
    assert 0 <= bernoulli_count(size, low, seed) <= bernoulli_count(size, high, seed) <= size
    assert (bernoulli_count(size, 0.0, seed), bernoulli_count(size, 1.0, seed)) == (0, size)


@given(st.integers(1, 10**12), st.integers(0, 99), st.data())
@settings(max_examples=100, deadline=None)
def test_some_probability_takes_any_number(size: int, seed: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, size))
    assert bernoulli_count(size, bernoulli_probability(size, count, seed), seed) == count


def test_more_entries_than_numpy_draws_from() -> None:
    size, count = 2_000_000_000, 30_000
    counts = exact_counts([size, size, 2], count, np.random.default_rng(0))
    assert counts.sum() == count
    assert abs(counts[0] - count / 2) < 6 * (count / 4) ** 0.5
    chosen = places(size, count, np.random.default_rng(0))
    assert chosen.dtype == np.int32
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] < chosen[-1] < size
    assert stats.kstest(chosen / size, "uniform").pvalue > UNLIKELY


def test_a_draw_needs_little_memory_beside_its_result() -> None:
    size, count = 8_000_000, 3_000_000
    tracemalloc.start()
    try:
        chosen = places(size, count, np.random.default_rng(0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert chosen.nbytes == 4 * count
    assert peak < chosen.nbytes + 8_000_000


def test_a_seed_gives_the_same_entries_in_every_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored configuration names its entries by a seed, so these draws must never change."""
    generator = np.random.default_rng(0)
    monkeypatch.setattr(random_subsets, "_BLOCK", 40)
    assert exact_counts([30, 70, 15], 40, generator).tolist() == [14, 24, 2]
    assert places(100, 12, generator).tolist() == [10, 20, 26, 31, 34, 40, 41, 54, 61, 70, 71, 94]
    assert bernoulli_count(1_000, 0.3, seed=5) == 285
