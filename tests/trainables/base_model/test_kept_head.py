"""A head that comes with the checkpoint keeps its meaning, or is drawn anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig

from spaces.spec.sections import ModelSection, Task
from tests.trainables.shipped_models import model_of, ship
from tests.trainables.tiny_models import TASKS
from trainables.base_model.config import load_config
from trainables.base_model.kept_head import matching, own_names
from trainables.base_model.weights import BaseWeights, build, load_weights

HEADS = [family for family in TASKS if family not in ("gemma", "gemma2", "mistral", "qwen2")]  # as of Llama


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (["good", "bad"], ["bad", "good"], (1, 0)),
        (["POSITIVE", "Negative "], ["negative", "positive"], (1, 0)),
        (["Very  Good", "bad"], ["bad", "very good"], (1, 0)),
        (["1", "0"], ["0", "1"], (1, 0)),
        (["LABEL_1", "LABEL_0"], ["LABEL_0", "LABEL_1"], (1, 0)),
        (["a", "A"], ["A", "a"], (1, 0)),
        (["a", "A"], ["a ", "A"], None),
        (["LABEL_0", "LABEL_1"], ["bad", "good"], None),
        (["negative", "positive"], ["0", "1"], None),
        (["a", "b"], ["a", "c"], None),
        (["a", "b", "c"], ["a", "b"], None),
        (["a", "a"], ["a", "b"], None),
    ],
)
def test_labels_are_matched_by_name(names: list[str], labels: list[str], expected: tuple[int, ...] | None) -> None:
    assert matching(names, labels) == expected


def task_of(family: str) -> Task:
    return Task.IMAGE_CLASSIFICATION if family == "vit" else Task.SEQUENCE_CLASSIFICATION


def shipped(folder: Path, family: str, names: dict[int, str]) -> ModelSection:
    model = model_of(family, task_of(family), id2label=names, label2id={name: at for at, name in names.items()})
    ship(folder, model)
    return ModelSection(path=str(folder), task=task_of(family))


def loaded(model: ModelSection, labels: tuple[str, ...]) -> BaseWeights:
    return load_weights(model, load_config(model, labels), labels)


@pytest.mark.parametrize("family", HEADS)
def test_every_label_keeps_its_logit(family: str, tmp_path: Path) -> None:
    model = shipped(tmp_path, family, {0: "good", 1: "Bad"})
    weights = loaded(model, ("bad", "good"))
    assert weights.fresh == weights.notes == ()
    theirs = loaded(model, ("good", "Bad"))
    inputs = {"pixel_values": torch.randn(2, 3, 8, 8)}
    if family != "vit":
        tokens = torch.tensor([[5, 6, 7, 1], [8, 9, 10, 1]])
        inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    with torch.no_grad():
        found, expected = (build(one, torch.device("cpu"))(**inputs).logits for one in (weights, theirs))
    assert not torch.equal(expected[:, 0], expected[:, 1])
    torch.testing.assert_close(found, expected.flip(1))


@pytest.mark.parametrize(
    ("names", "labels", "told"),
    [
        ({0: "LABEL_0", 1: "LABEL_1"}, ("bad", "good"), "names none of its labels, the data has bad, good: a fresh"),
        ({0: "no", 1: "yes"}, ("bad", "good"), "has the labels no, yes, the data has bad, good: a fresh head"),
        ({0: "no", 1: "yes"}, ("0", "1"), "has the labels no, yes, the data has 0, 1: a fresh head"),
        ({0: "bad", 1: "good"}, ("bad", "good", "so"), "has the labels bad, good, the data has bad, good, so"),
    ],
)
@pytest.mark.parametrize("family", ["bert", "roberta", "llama", "vit"])
def test_rows_that_cannot_be_told_apart_are_drawn_anew(
    family: str, names: dict[int, str], labels: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    weights = loaded(shipped(tmp_path, family, names), labels)
    last = {"bert": "classifier", "roberta": "classifier.out_proj", "llama": "score", "vit": "classifier"}[family]
    assert {name.rpartition(".")[0] for name in weights.fresh} == {last}
    (note,) = weights.notes
    assert told in note


def test_of_a_checkpoint_without_a_head_nothing_is_said(tmp_path: Path) -> None:
    ship(tmp_path, model_of("bert", Task.SEQUENCE_CLASSIFICATION).base_model)
    weights = loaded(ModelSection(path=str(tmp_path)), ("bad", "good"))
    assert "classifier.weight" in weights.fresh
    assert weights.notes == ()


def test_names_that_stand_in_one_direction_alone_are_found() -> None:
    config = BertConfig(id2label={0: "LABEL_0", 1: "LABEL_1"}, label2id={"good": 0, "bad": 1})
    assert own_names(config) == ("good", "bad")
    for odd in ({"good": "zero"}, {"good": 0}, {"good": 0, "bad": 2}, None):
        config.label2id = odd
        assert own_names(config) == ("LABEL_0", "LABEL_1")


def test_a_head_of_one_number_is_kept(tmp_path: Path) -> None:
    ship(tmp_path, model_of("bert", Task.REGRESSION, num_labels=1))
    assert loaded(ModelSection(path=str(tmp_path), task=Task.REGRESSION), ()).fresh == ()
