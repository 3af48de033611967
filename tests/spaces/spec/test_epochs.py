"""Epochs in steps, as transformers' Trainer counts them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainingArguments

from spaces.errors import RequestError
from spaces.spec.epochs import in_steps, steps_of
from spaces.spec.searched_training import SearchedTraining
from spaces.spec.spec import dump_spec, parse_spec

SMALL: dict[str, Any] = {"name": "a", "model": {"path": "m"}, "data": {"train": "t.csv"}, "budget": {"parameters": 9}}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    folder = tmp_path_factory.mktemp("trainer")
    return Trainer(
        model=torch.nn.Linear(1, 1), args=TrainingArguments(output_dir=str(folder), use_cpu=True, report_to=[])
    )


@given(
    epochs=st.floats(0.01, 20),
    rows=st.integers(1, 400),
    batch=st.integers(1, 64),
    accumulated=st.integers(1, 5),
)
def test_steps_are_those_of_the_trainer(
    trainer: Trainer, epochs: float, rows: int, batch: int, accumulated: int
) -> None:
    arguments = trainer.args
    arguments.num_train_epochs, arguments.per_device_train_batch_size = epochs, batch
    arguments.gradient_accumulation_steps = accumulated
    loader = DataLoader(TensorDataset(torch.zeros(rows, 1)), batch_size=batch)
    *_, expected = trainer.set_initial_training_values(arguments, loader)
    training = SearchedTraining(
        num_train_epochs=epochs, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulated
    )
    assert steps_of(training, rows) == expected


def test_a_training_in_steps_has_these() -> None:
    assert steps_of(SearchedTraining(max_steps=7), rows=1_000) == 7


def test_a_spec_in_epochs_becomes_one_in_steps() -> None:
    spec = parse_spec({**SMALL, "training": {"num_train_epochs": 2, "per_device_train_batch_size": 8}})
    assert parse_spec(spec.model_dump(mode="json")) == spec
    found = in_steps(spec, rows=20)
    assert (found.training.max_steps, found.training.num_train_epochs) == (6, None)
    assert in_steps(found, rows=99) is found
    assert "num_train_epochs: 2.0" in dump_spec(spec)
    assert "max_steps" not in dump_spec(spec)


def test_other_fields_must_fit_so_many_steps() -> None:
    spec = parse_spec({**SMALL, "training": {"num_train_epochs": 1, "eval_steps": 50}})
    with pytest.raises(RequestError, match=r"training.eval_steps = 50: a training has 1 steps; allowed: at most"):
        in_steps(spec, rows=20)
