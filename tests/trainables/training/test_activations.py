"""Kept activations are those that were computed, example by example, whatever was asked for before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.data.batches import Indices
from trainables.training.activation_cache import KeptActivations


class Computing:
    """A position's value names its example and itself; what lies in the padding is not a number."""

    def __init__(self, lengths: Sequence[int], most: int = 1_000) -> None:
        self.lengths = np.array(lengths)
        self.most = most
        self.asked: list[list[int]] = []

    def __call__(self, rows: Indices) -> Tensor:
        if len(rows) > self.most:
            torch.empty(2**60, dtype=torch.uint8)
        self.asked.append(rows.tolist())
        values = torch.full((len(rows), int(self.lengths[rows].max()), 2, 3), torch.nan)
        for place, row in enumerate(rows):
            values[place, : self.lengths[row]] = self.value(int(row))
        return values

    def value(self, row: int) -> Tensor:
        return (100 * row + torch.arange(float(self.lengths[row])))[:, None, None].expand(-1, 2, 3)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], list[Indices], list[Indices]]:
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    order = np.array(draw(st.permutations(range(len(lengths)))))
    kept = order[: draw(st.integers(1, len(order)))]
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(kept) - 1)), max_size=3)) - {len(kept)})
    asked = st.lists(st.sampled_from(kept.tolist()), min_size=1, max_size=6).map(np.array)
    return lengths, np.split(kept, cuts), draw(st.lists(asked, max_size=5))


@given(cases(), st.integers(1, 4))
def test_what_is_taken_is_what_was_computed(case: tuple[list[int], list[Indices], list[Indices]], most: int) -> None:
    lengths, groups, asked = case
    computing = Computing(lengths, most)
    kept = KeptActivations(computing.lengths, groups, torch.zeros(2, 3), computing)
    for rows in asked:
        taken = kept.take(rows)
        assert taken.shape == (len(rows), computing.lengths[rows].max(), 2, 3)
        for values, row in zip(taken, rows, strict=True):
            assert torch.equal(values[: lengths[row]], computing.value(int(row)))
            assert not values[lengths[row] :].any()
    wanted = [group for group in groups if any(np.isin(group, rows).any() for rows in asked)]
    assert sorted(row for rows in computing.asked for row in rows) == sorted(row for rows in wanted for row in rows)
    bytes_of = [4 * 6 * sum(lengths[row] for row in group) for group in groups]
    assert kept.bytes == sum(bytes_of)
    assert kept.computed_bytes == sum(4 * 6 * lengths[row] for group in wanted for row in group)


def test_groups_are_computed_as_they_were_given() -> None:
    computing = Computing([3, 1, 2, 4])
    kept = KeptActivations(computing.lengths, [np.array([3, 0]), np.array([2, 1])], torch.zeros(2, 3), computing)
    kept.take(np.array([1]))
    kept.take(np.array([2, 0]))
    kept.take(np.array([0, 1, 2, 3]))
    assert computing.asked == [[2, 1], [3, 0]]


def test_what_does_not_fit_alone_is_an_error() -> None:
    computing = Computing([3, 1], most=0)
    kept = KeptActivations(computing.lengths, [np.array([0, 1])], torch.zeros(2, 3), computing)
    with pytest.raises(RuntimeError, match="allocate"):
        kept.take(np.array([0]))
