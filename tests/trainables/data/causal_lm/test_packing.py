"""Packed rows hold every example once, and give its loss and gradient as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from spaces.spec.sections import Task
from tests.trainables.tiny_models import VOCABULARY, Tiny
from trainables.base_model.config import task_class
from trainables.data.causal_lm.packing import PackedTokens, pack, packs
from trainables.data.encoded_split import IGNORED_LABEL, EncodedSplit, EncodedTokens, end_to_end, offsets_of
from trainables.evaluation.predictions import loss

ROOM = 16


def split_of(lengths: list[int]) -> EncodedTokens:
    """Examples of random tokens, half of which are learnt."""
    generator = np.random.default_rng(0)
    rows = [generator.integers(2, VOCABULARY, length).tolist() for length in lengths]
    labels = [[one if place >= len(row) // 2 else IGNORED_LABEL for place, one in enumerate(row)] for row in rows]
    columns = {"input_ids": end_to_end(rows), "labels": end_to_end(labels)}
    return EncodedTokens(None, columns, offsets_of(rows), {"input_ids": 0, "labels": IGNORED_LABEL})


@given(lengths=st.lists(st.integers(1, ROOM), min_size=1, max_size=40))
def test_every_example_is_in_one_row_that_has_room(lengths: list[int]) -> None:
    rows = packs(np.array(lengths, dtype=np.int64), ROOM)
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
    sums = sorted(sum(lengths[one] for one in row) for row in rows)
    assert sums[-1] <= ROOM
    assert len(sums) < 2 or sums[0] + sums[1] > ROOM, "two rows that fit into one"


def test_positions_begin_with_each_example_and_its_first_token_is_not_learnt() -> None:
    packed = pack(split_of([1, 5, 3]), ROOM)
    batch = packed.take(np.array([0]))
    assert batch.keys() == {"input_ids", "labels", "position_ids"}
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 0]]
    assert batch["labels"][0, [0, 5, 8]].tolist() == [IGNORED_LABEL] * 3
    assert (len(packed), packed.examples) == (1, 3)


def test_an_example_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="an example has 17 tokens; a row has room for 16"):
        pack(split_of([3, 17]), ROOM)


def gradient(model: PreTrainedModel, split: EncodedSplit) -> tuple[float, int, list[torch.Tensor]]:
    batch = split.take(np.arange(len(split)))
    labels = batch.pop("labels")
    model.zero_grad()
    summed, terms = loss(Task.CAUSAL_LM, model(**batch, use_cache=False).logits, labels)
    summed.backward()
    return summed.item(), terms, [one.grad.clone() for one in model.parameters() if one.grad is not None]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "gemma3"])
def test_losses_and_gradients_are_those_of_examples_alone(family: str, attention: str) -> None:
    torch.manual_seed(0)
    config = Tiny(family, Task.CAUSAL_LM).config
    model = task_class(Task.CAUSAL_LM).from_config(config, attn_implementation=attention).eval()
    split = split_of([6, 3, 9, 2, 7, 4])
    packed = pack(split, ROOM)
    assert isinstance(packed, PackedTokens)
    assert len(packed) < len(split)
    (found, terms, slopes), (expected, counted, alone) = gradient(model, packed), gradient(model, split)
    assert terms == counted
    assert found == pytest.approx(expected, rel=1e-5)
    assert len(slopes) == len(alone) > 0
    for slope, other in zip(slopes, alone, strict=True):
        torch.testing.assert_close(slope, other, rtol=1e-3, atol=1e-5)
