"""The ids of the batch that passes through a model, and only while it does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.tiny_models import BERT
from trainables.tuners.input_ids import PADDING, InputIds, reader_around


class Reader(nn.Module):
    """Notes the ids that a module inside would see."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = InputIds()
        self.seen: list[Tensor] = []

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any) -> None:
        self.seen.append(self.ids())


@pytest.fixture
def reader() -> Reader:
    made = Reader()
    made.ids.follow(made)
    return made


IDS = torch.tensor([[5, 6, 7], [8, 9, 9]])


def test_padding_is_no_id(reader: Reader) -> None:
    reader(IDS, attention_mask=torch.tensor([[1, 1, 1], [1, 0, 0]]))
    assert reader.seen[0].tolist() == [[5, 6, 7], [8, PADDING, PADDING]]


def test_a_mask_may_also_cover_the_tokens_of_a_cache(reader: Reader) -> None:
    reader(IDS[:, :1], attention_mask=torch.tensor([[1, 1, 1], [1, 1, 0]]))
    assert reader.seen[0].tolist() == [[5], [PADDING]]


def test_a_mask_of_more_dimensions_says_nothing_of_padding(reader: Reader) -> None:
    reader(input_ids=IDS, attention_mask=torch.zeros(2, 1, 3, 3))
    assert torch.equal(reader.seen[0], IDS)


def test_there_are_none_outside_a_forward_or_with_embeddings_alone(reader: Reader) -> None:
    with pytest.raises(ValueError, match="needs input_ids"):
        reader(inputs_embeds=torch.zeros(1))
    reader(IDS)
    with pytest.raises(ValueError, match="needs input_ids"):
        reader.ids()


def test_stopping_removes_the_hooks(reader: Reader) -> None:
    reader.ids.stop()
    assert not reader._forward_pre_hooks
    assert not reader._forward_hooks


def test_the_innermost_module_with_ids_is_found() -> None:
    model = BERT.model()
    assert reader_around(model, "bert.encoder.layer.0") == "bert"
    assert reader_around(model, "bert") == ""
    with pytest.raises(ValueError, match="Sequential takes no input_ids"):
        reader_around(nn.Sequential(nn.Linear(2, 2)), "0")
