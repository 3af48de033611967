"""An export loaded with its tokenizer, ready to predict."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from spaces.errors import RequestError
from spaces.spec.sections import Task
from spaces.spec.spec import dump_spec, load_spec
from tests.conftest import Workplace
from tests.trainables.artifacts import make_artifact
from tests.trainables.shipped_models import model_of, ship, spec_of
from trainables import load_adapter
from trainables.adapters.saved_folder import write_labels
from trainables.adapters.verification import FILE, difference
from trainables.exporting.export import export

TOKENS = torch.arange(100, 124).reshape(3, 8)

pytestmark = pytest.mark.usefixtures("preloaded_processes")


def write_export(place: Workplace, form: Any, method: str, **settings: Any) -> Path:
    folder, card = make_artifact(load_spec(place.spec()), method, place.folder / "artifact", TOKENS)
    export(folder, place.folder / "out", card, form, 32, **settings)
    return place.folder / "out"


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path, preloaded_processes: None
) -> Path:
    """An adapter whose tuner is one of paretune's own."""
    return write_export(Workplace(tmp_path_factory.mktemp("exported"), tiny_model, tiny_data), "peft", "sparta")


def test_an_adapter_gives_the_logits_of_its_trial(exported: Path, tiny_model: Path) -> None:
    model, tokenizer = load_adapter(str(exported), base=tiny_model)
    assert not model.training
    found, allowed = difference(model, exported)
    assert found <= allowed
    assert model.config.id2label == {0: "bad", 1: "good"}
    inputs = tokenizer(["a lovely film", "dull"], padding=True, return_tensors="pt")
    assert model(**inputs).logits.shape == (2, 2)


def test_a_merged_export_needs_no_base(workplace: Workplace) -> None:
    folder = write_export(workplace, "merged", "sparta")
    model, _ = load_adapter(folder)
    found, allowed = difference(model, folder)
    assert found <= allowed


def test_without_verification_rows_the_weights_are_float32(workplace: Workplace) -> None:
    folder = write_export(workplace, "peft", "lora", verification_rows=False)
    assert not (folder / FILE).exists()
    model, _ = load_adapter(folder, base=workplace.model)
    assert {one.dtype for one in model.parameters()} == {torch.float32}


def test_a_base_in_a_folder_has_to_be_named(
    exported: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="base=FOLDER names the folder of the base"):
        load_adapter(exported)
    monkeypatch.chdir(tiny_model.parent)  # where a folder has the name that the recipe has
    model, _ = load_adapter(exported)
    found, allowed = difference(model, exported)
    assert found <= allowed


def test_another_base_is_refused(exported: Path, tmp_path: Path) -> None:
    other = ship(tmp_path / "other", model_of("bert", Task.SEQUENCE_CLASSIFICATION))
    with pytest.raises(RequestError, match=f"model.path = {re.escape(str(other))}: .*; allowed: the base that"):
        load_adapter(exported, base=other)


@pytest.mark.parametrize("missing", ["recipe.yaml", "labels.json"])
def test_what_is_no_export_is_refused(exported: Path, tmp_path: Path, missing: str) -> None:
    shutil.copytree(exported, tmp_path / "out")
    (tmp_path / "out" / missing).unlink()
    for wrong in (tmp_path / "absent", tmp_path / "out"):
        with pytest.raises(RequestError, match="no export; allowed: a folder that `paretune export` wrote"):
            load_adapter(wrong)


def test_a_model_of_images_comes_with_its_processor(tmp_path: Path) -> None:
    """A whole model, as a merged export has it."""
    folder = ship(tmp_path / "vit", model_of("vit", Task.IMAGE_CLASSIFICATION))
    write_labels(folder, ("bad", "good"))
    spec = spec_of(folder, tmp_path / "train.csv", Task.IMAGE_CLASSIFICATION)
    (folder / "recipe.yaml").write_text(dump_spec(spec), encoding="utf-8")
    model, processor = load_adapter(folder)
    inputs = processor(images=[Image.new("RGB", (40, 30))], return_tensors="pt")
    assert model(**inputs).logits.shape == (1, 2)
