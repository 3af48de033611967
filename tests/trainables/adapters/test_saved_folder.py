"""What lies beside a saved adapter: its labels, its base, and whether PEFT alone loads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Task
from tests.trainables.artifacts import LABELS, make_artifact
from tests.trainables.shipped_models import change_config, make_texts, model_of, ship, spec_of
from trainables.adapters.saved_folder import (
    check_base_of,
    load_base,
    load_export,
    loading_settings,
    needs_own_tuner,
    read_labels,
    write_labels,
)

TASK = Task.SEQUENCE_CLASSIFICATION
TOKENS = torch.arange(3, 15).reshape(2, 6)


def artifact(name: str, folder: Path, family: str = "bert") -> tuple[Path, ModelSection]:
    ship(folder / "base", model_of(family, TASK))
    spec = spec_of(folder / "base", make_texts(folder), TASK)
    made, _ = make_artifact(spec, name, folder / "adapter", TOKENS)
    return made, spec.model


def test_labels_come_back_in_their_order(tmp_path: Path) -> None:
    write_labels(tmp_path, ("schlecht", "größer", "a"))
    assert read_labels(tmp_path) == ("schlecht", "größer", "a")


@pytest.mark.parametrize(("name", "own"), [("lora", False), ("sparta", True)])
def test_an_adapter_is_loaded_on_its_base(name: str, own: bool, tmp_path: Path) -> None:
    folder, model = artifact(name, tmp_path)
    assert needs_own_tuner(folder) is own
    loaded = load_export(folder, model, torch.float32)
    assert isinstance(loaded, PeftModel)
    assert read_labels(folder) == LABELS
    base = load_base(folder, model, torch.bfloat16)
    assert base.dtype == torch.bfloat16
    assert base.config.num_labels == 2


def test_another_base_is_refused_by_its_config_alone(tmp_path: Path) -> None:
    folder, model = artifact("lora", tmp_path)
    check_base_of(folder, model)
    change_config(tmp_path / "base", layer_norm_eps=0.5)
    with pytest.raises(RequestError, match=r"layer_norm_eps of its config differs.*; allowed: the base that"):
        check_base_of(folder, model)


def test_settings_to_load_a_base_name_its_head_and_a_padding_that_it_lacks(tmp_path: Path) -> None:
    _, model = artifact("lora", tmp_path, "llama")
    assert loading_settings(model, LABELS) == {"num_labels": 2}
    change_config(tmp_path / "base", pad_token_id=None)
    assert loading_settings(model, LABELS) == {"num_labels": 2, "pad_token_id": 0}
