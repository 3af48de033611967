"""Rows on which a model would fail in training are found before."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTImageProcessorPil

from spaces.errors import RequestError
from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec
from tests.trainables.shipped_models import make_images, model_of, ship, spec_of
from tests.trainables.tiny_models import LABELS, Tiny
from tests.trainables.tiny_splits import split_for
from trainables.base_model.config import load_config
from trainables.base_model.weights import BaseWeights, load_weights
from trainables.data.encoded_split import EncodedTokens
from trainables.data.splits import load_splits
from trainables.training.rehearsal import rehearse, telling_rows

BERT = Tiny("bert", Task.SEQUENCE_CLASSIFICATION)


def weights_of(spec: SearchSpec, labels: tuple[str, ...] = ("bad", "good")) -> BaseWeights:
    return load_weights(spec.model, load_config(spec.model, labels), labels)


def refused(spec: SearchSpec) -> str:
    splits = load_splits(spec)
    with pytest.raises(RequestError) as caught:
        rehearse(weights_of(spec), {"data.train": splits.train, "data.validation": splits.validation})
    assert str(caught.value).startswith(f"model.path = {spec.model.path}: the model fails on rows of data.train (")
    return str(caught.value)


@pytest.mark.parametrize(("size", "channels"), [(16, 3), (8, 1)])
def test_images_of_another_size(size: int, channels: int, tmp_path: Path) -> None:
    model = ship(tmp_path / "model", model_of("vit", Task.IMAGE_CLASSIFICATION, num_channels=channels))
    ViTImageProcessorPil(size={"height": size, "width": size}).save_pretrained(model)
    line = refused(spec_of(model, make_images(tmp_path), Task.IMAGE_CLASSIFICATION))
    assert ("size" if size > 8 else "channel") in line


def test_the_rows_that_tell(tmp_path: Path) -> None:
    lengths = np.array([4, 9, 2, 5, 5, 5])
    ids = np.full(lengths.sum(), 7, np.int32)
    ids[-7] = 30  # of the fifth
    split = EncodedTokens(None, {"input_ids": ids}, np.concatenate([[0], np.cumsum(lengths)]), {"input_ids": 0})
    assert set(telling_rows(split)) == {0, 1, 2, 4, 5}


@pytest.fixture
def weights(tmp_path: Path) -> BaseWeights:
    folder = ship(tmp_path, BERT.model())
    return weights_of(spec_of(folder, tmp_path, BERT.task), tuple("abc"[:LABELS]))


@pytest.mark.parametrize("column", ["input_ids", "token_type_ids"])
def test_a_single_id_that_has_no_row(weights: BaseWeights, column: str) -> None:
    split = split_for(BERT, 40)
    assert isinstance(split, EncodedTokens)
    columns = {"input_ids": split.columns["input_ids"], "token_type_ids": np.zeros_like(split.columns["input_ids"])}
    padding = {"input_ids": 0, "token_type_ids": 0}
    split = dataclasses.replace(split, columns=columns, padding=padding)
    rehearse(weights, {"data.train": split})
    spoiled = columns[column].copy()
    spoiled[100] = {"input_ids": 40, "token_type_ids": 2}[column]
    split = dataclasses.replace(split, columns=columns | {column: spoiled})
    with pytest.raises(RequestError, match=r"fails on rows of data\.test \(index out of range"):
        rehearse(weights, {"data.test": split})


def test_what_only_weights_can_tell_is_left_to_the_real_model(
    weights: BaseWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that looks at its own values cannot run without them, and is not refused for it."""
    from transformers import BertForSequenceClassification

    forward, looked = BertForSequenceClassification.forward, []

    def looking(self: BertForSequenceClassification, *args: object, **kwargs: object) -> object:
        looked.append(float(self.classifier.weight.sum()))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(BertForSequenceClassification, "forward", looking)
    rehearse(weights, {"data.train": split_for(BERT, 8)})
    assert len(looked) == 1


def test_weights_are_not_touched(weights: BaseWeights) -> None:
    before = {name: array.copy() for name, array in weights.arrays.items()}
    rehearse(weights, {"data.train": split_for(BERT, 8)})
    assert all(np.array_equal(before[name], array) for name, array in weights.arrays.items())


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model = model_of("bert", BERT.task)
    with torch.no_grad():
        model.bert.encoder.layer[1].output.dense.weight[3, 4] = float("nan")
    ship(tmp_path, model)
    with pytest.raises(RequestError, match=r"not all numbers, such as those of bert\.encoder\.layer\.1\.output\.dense"):
        weights_of(spec_of(tmp_path, tmp_path, BERT.task))
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "bert"
