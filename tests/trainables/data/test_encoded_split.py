from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.encoded_split import (
    EncodedImages,
    EncodedSplit,
    EncodedTokens,
    end_to_end,
    fingerprint,
    offsets_of,
)

ROWS = [[5, 6, 7], [8], [9, 10]]


def tokens(rows: list[list[int]]) -> EncodedTokens:
    columns = {"input_ids": end_to_end(rows), "labels": end_to_end(rows)}
    return EncodedTokens(None, columns, offsets_of(rows), {"input_ids": 3, "labels": -100})


def images() -> EncodedImages:
    pixels = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    scale, shift = (np.array(values, dtype=np.float32).reshape(3, 1, 1) for values in ([1, 2, 3], [0, -1, 5]))
    return EncodedImages(np.array([1, 0]), pixels, scale, shift)


@given(data=st.data(), rows=st.lists(st.lists(st.integers(10, 99), min_size=1, max_size=6), min_size=1, max_size=8))
def test_a_batch_is_the_rows_padded_to_its_longest(data: st.DataObject, rows: list[list[int]]) -> None:
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=5))
    batch = tokens(rows).take(np.array(indices))
    width = max(len(rows[i]) for i in indices)
    assert batch["input_ids"].tolist() == [rows[i] + [3] * (width - len(rows[i])) for i in indices]
    assert batch["labels"].tolist() == [rows[i] + [-100] * (width - len(rows[i])) for i in indices]
    assert batch["attention_mask"].tolist() == [[1] * len(rows[i]) + [0] * (width - len(rows[i])) for i in indices]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_targets_become_labels() -> None:
    split = replace(
        tokens(ROWS), columns={"input_ids": end_to_end(ROWS)}, targets=np.array([0.5, 1.5, 2.5], np.float32)
    )
    assert split.take(np.array([2, 0]))["labels"].tolist() == [2.5, 0.5]
    assert len(split) == 3
    assert split.pad_token_id == 3


def test_images_are_scaled_and_shifted_by_channel() -> None:
    split = images()
    batch = split.take(np.array([1]))
    expected = torch.from_numpy(split.pixels[1]).float() * torch.tensor([1.0, 2, 3])[:, None, None]
    torch.testing.assert_close(batch["pixel_values"][0], expected + torch.tensor([0.0, -1, 5])[:, None, None])
    assert batch["labels"].tolist() == [0]
    assert len(split) == 2


def test_batches_never_alias_shared_arrays() -> None:
    """What Ray's workers get are read-only arrays in shared memory: a batch may be written to all the same."""
    splits: list[EncodedSplit] = [tokens(ROWS), replace(tokens(ROWS), targets=np.arange(3)), images()]
    for split in splits:
        for array in split.arrays().values():
            array.setflags(write=False)
        before = fingerprint(split)
        for tensor in split.take(np.array([0, 1])).values():
            tensor.zero_()
        assert fingerprint(split) == before


def test_arrays_leave_the_pickle_and_are_shared_without_a_copy() -> None:
    for split in (tokens([[1] * 10_000] * 10), replace(images(), pixels=np.zeros((10, 3, 64, 64), np.uint8))):
        buffers: list[pickle.PickleBuffer] = []
        inside = pickle.dumps(split, protocol=5, buffer_callback=buffers.append)
        assert len(inside) < 2_000
        copy = pickle.loads(inside, buffers=buffers)
        assert all(np.shares_memory(copy.arrays()[name], array) for name, array in split.arrays().items())


def test_a_fingerprint_changes_with_every_array_and_not_otherwise() -> None:
    split = images()
    assert fingerprint(split) == fingerprint(images())
    others = [
        replace(split, targets=np.array([0, 0])),
        replace(split, pixels=split.pixels + np.uint8(1)),
        replace(split, pixels=split.pixels.reshape(2, 3, 4, 1)),
        replace(split, shift=split.shift + 1),
        replace(split, scale=split.scale.astype(np.float64)),
        tokens(ROWS),
        tokens([[5, 6], [7, 8], [9, 10]]),
        replace(tokens(ROWS), targets=np.array([0, 1, 0])),
        replace(tokens(ROWS), targets=np.array([0, 1, 1])),
    ]
    assert len({fingerprint(other) for other in [split, *others]}) == len(others) + 1
