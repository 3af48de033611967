"""The config of a task model, and its class."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import BertForSequenceClassification, GPT2LMHeadModel

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Task
from tests.trainables.shipped_models import change_config, model_of, ship
from tests.trainables.tiny_models import BERT, CAUSAL_GPT2
from trainables.base_model.config import load_config, model_class, read_config


def shipped(folder: Path, family: str, task: Task = Task.SEQUENCE_CLASSIFICATION) -> ModelSection:
    ship(folder, model_of(family, task))
    return ModelSection(path=str(folder), task=task)


def test_the_class_has_the_head_of_the_task() -> None:
    assert model_class(BERT.config, Task.SEQUENCE_CLASSIFICATION) is BertForSequenceClassification
    assert model_class(CAUSAL_GPT2.config, Task.CAUSAL_LM) is GPT2LMHeadModel


def test_labels_are_those_of_the_data(tmp_path: Path) -> None:
    config = load_config(shipped(tmp_path, "bert"), ("low", "middle", "high"))
    assert config.id2label == {0: "low", 1: "middle", 2: "high"}
    assert config.label2id == {"low": 0, "middle": 1, "high": 2}
    assert config.problem_type == "single_label_classification"


def test_a_regression_has_one_output(tmp_path: Path) -> None:
    config = load_config(shipped(tmp_path, "bert", Task.REGRESSION), ())
    assert (config.num_labels, config.problem_type) == (1, "regression")


def test_a_classifying_decoder_is_given_the_padding_of_its_texts(tmp_path: Path) -> None:
    section = shipped(tmp_path, "llama")
    change_config(tmp_path, pad_token_id=None)
    assert load_config(section, ("bad", "good")).pad_token_id == 0


def test_an_encoder_keeps_the_padding_that_counts_its_positions(tmp_path: Path) -> None:
    section = shipped(tmp_path, "roberta")
    change_config(tmp_path, pad_token_id=7)
    assert load_config(section, ("bad", "good")).pad_token_id == 7


def test_a_task_without_a_head_names_those_that_have_one(tmp_path: Path) -> None:
    ship(tmp_path, model_of("vit", Task.IMAGE_CLASSIFICATION))
    section = ModelSection(path=str(tmp_path), task=Task.CAUSAL_LM)
    with pytest.raises(RequestError, match="causal-lm: vit has no such head; allowed: image-classification"):
        read_config(section)
