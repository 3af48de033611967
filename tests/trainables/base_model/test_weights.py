"""A base is read once, and built around the arrays without a copy that anything may write into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spaces.spec.sections import ModelSection, Task
from tests.trainables.shipped_models import LABELS, model_of, ship
from trainables.base_model.config import load_config
from trainables.base_model.weights import (
    BaseWeights,
    build,
    copy_of,
    fresh_parameters,
    initialise_fresh,
    load_weights,
    own_dtype,
)

CPU = torch.device("cpu")


def read(
    folder: Path, dtype: torch.dtype = torch.float32, to: torch.dtype | None = None
) -> tuple[ModelSection, BaseWeights]:
    model = model_of("bert", Task.SEQUENCE_CLASSIFICATION)
    ship(folder, model.bert.to(dtype))  # the body: its checkpoint has no head
    section = ModelSection(path=str(folder), task=Task.SEQUENCE_CLASSIFICATION)
    return section, load_weights(section, load_config(section, LABELS), LABELS, to)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parameters_are_the_arrays_themselves(dtype: torch.dtype, tmp_path: Path) -> None:
    _, weights = read(tmp_path, dtype)
    model = build(weights, CPU)
    expected = model_of("bert", Task.SEQUENCE_CLASSIFICATION).bert.to(dtype).state_dict()
    for name, tensor in model.bert.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    places = {array.ctypes.data for array in weights.arrays.values()}
    assert {parameter.data_ptr() for parameter in model.parameters()} <= places
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_another_type_is_a_copy(tmp_path: Path) -> None:
    _, weights = read(tmp_path, torch.bfloat16)
    model = build(weights, CPU, torch.float32)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    places = {array.ctypes.data for array in weights.arrays.values()}
    assert places.isdisjoint(parameter.data_ptr() for parameter in model.bert.parameters())


def test_a_base_that_is_read_in_another_type_is_shared_in_it(tmp_path: Path) -> None:
    _, weights = read(tmp_path, to=torch.bfloat16)
    assert set(weights.types.values()) == {"bfloat16"}
    places = {array.ctypes.data for array in weights.arrays.values()}
    assert {one.data_ptr() for one in build(weights, CPU, torch.bfloat16).parameters()} <= places


def test_what_the_checkpoint_lacks_is_known_without_its_weights(tmp_path: Path) -> None:
    section, weights = read(tmp_path, torch.bfloat16)
    config = load_config(section, LABELS)
    assert weights.fresh == ("classifier.bias", "classifier.weight")
    assert fresh_parameters(section, config) == weights.fresh
    assert own_dtype(section, config) == torch.bfloat16


def test_fresh_values_follow_the_seed_and_are_private(tmp_path: Path) -> None:
    _, weights = read(tmp_path)
    before = {name: array.copy() for name, array in weights.arrays.items()}
    heads = []
    for seed in (1, 1, 2):
        model = build(weights, CPU, torch.bfloat16 if seed == 2 else None)
        initialise_fresh(model, weights.fresh, seed)
        heads.append(model.classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert heads[0].dtype == torch.float32
    assert not torch.equal(heads[0], heads[2])
    for name, array in weights.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_copy_has_its_own_modules_around_the_same_tensors(tmp_path: Path) -> None:
    model = build(read(tmp_path)[1], CPU)
    copied = copy_of(model)
    assert copied.bert.encoder is not model.bert.encoder
    assert [one.data_ptr() for one in copied.parameters()] == [one.data_ptr() for one in model.parameters()]
    copied.classifier = torch.nn.Identity()
    assert isinstance(model.classifier, torch.nn.Linear)
