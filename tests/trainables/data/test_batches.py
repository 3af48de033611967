from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.batches import POOL, batches, evaluation_batches, first_visits
from trainables.data.encoded_split import EncodedTokens, end_to_end, offsets_of

sizes = st.integers(1, 40)


def lengths_of(size: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(size).integers(1, 60, size)


@given(batch_size=st.integers(1, 16), pools=st.integers(1, 4), rest=st.integers(0, 15), epoch=st.integers(0, 3))
def test_batches_hold_like_lengths(batch_size: int, pools: int, rest: int, epoch: int) -> None:
    """A pool's batches cover disjoint ranges of lengths; those at the seams of epochs are mixed."""
    size = POOL * batch_size * pools + rest % batch_size
    lengths = lengths_of(size)
    first = -(-epoch * size // batch_size)
    full = (size - (first * batch_size - epoch * size)) // batch_size
    drawn = list(islice(batches(lengths, batch_size, 0, start_step=first), full))
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in drawn)
    # Sorted, the batches of a pool add at most the range of lengths once per pool, and one more for a rest.
    assert padded - sum(int(lengths[batch].sum()) for batch in drawn) <= (pools + 1) * 59 * batch_size


def test_batches_of_an_epoch_come_in_no_order_of_length() -> None:
    lengths = lengths_of(POOL * 8 * 4)
    means = [lengths[batch].mean() for batch in islice(batches(lengths, 8, 0), POOL * 4)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.4


@given(size=sizes, batch_size=sizes, seed=st.integers(0, 2**32))
def test_every_example_once_an_epoch_in_full_batches(size: int, batch_size: int, seed: int) -> None:
    width = min(size, batch_size)
    drawn = list(islice(batches(lengths_of(size), batch_size, seed), 3 * size))
    assert all(len(batch) == width for batch in drawn)
    epochs = np.concatenate(drawn)[: 3 * size].reshape(3, size)
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)


@given(size=sizes, batch_size=sizes, seed=st.integers(0, 99))
def test_first_visits_are_where_the_batches_first_come(size: int, batch_size: int, seed: int) -> None:
    drawn = np.concatenate(list(islice(batches(lengths_of(size), batch_size, seed), size)))
    visits = list(dict.fromkeys(drawn.tolist()))
    assert first_visits(lengths_of(size), batch_size, seed).tolist() == visits


@given(size=sizes, batch_size=sizes, seed=st.integers(0, 99), start=st.integers(0, 100))
def test_a_resumed_run_goes_on_with_the_batches_it_would_have_had(
    size: int, batch_size: int, seed: int, start: int
) -> None:
    lengths = lengths_of(size)
    whole = list(islice(batches(lengths, batch_size, seed), start + 5))
    resumed = list(islice(batches(lengths, batch_size, seed, start_step=start), 5))
    np.testing.assert_array_equal(whole[start:], resumed)


def test_a_far_step_is_reached_without_the_steps_before_it() -> None:
    assert len(next(batches(lengths_of(10**3), 7, seed=0, start_step=10**15))) == 7


def test_seeds_and_epochs_differ() -> None:
    first, second = (np.concatenate(list(islice(batches(lengths_of(50), 10, seed), 10))) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[:50], first[50:])


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30), batch_size=st.integers(1, 8))
def test_evaluation_takes_each_row_once_by_length(lengths: list[int], batch_size: int) -> None:
    rows = [[number] * length for number, length in enumerate(lengths)]
    split = EncodedTokens(None, {"input_ids": end_to_end(rows)}, offsets_of(rows), {"input_ids": 0})
    drawn = list(evaluation_batches(split, batch_size))
    assert sorted(np.concatenate(drawn)) == list(range(len(rows)))
    ordered = np.concatenate([split.lengths()[indices] for indices in drawn])
    assert (np.diff(ordered) <= 0).all()
    restored = np.empty(len(rows), dtype=np.int64)
    for indices in drawn:
        restored[indices] = split.take(indices)["input_ids"][:, 0].numpy()
    assert restored.tolist() == list(range(len(rows)))


def test_sizes_below_one_are_refused() -> None:
    split = EncodedTokens(None, {"input_ids": end_to_end([[1]])}, offsets_of([[1]]), {"input_ids": 0})
    for stream in (batches(lengths_of(0), 1, 0), batches(lengths_of(1), 0, 0), evaluation_batches(split, 0)):
        with pytest.raises(ValueError, match="must be at least 1"):
            next(stream)
