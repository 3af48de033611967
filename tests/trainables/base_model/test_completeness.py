"""A base of which the checkpoint lacks parts is refused; a head or a pooler may be missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Task
from tests.trainables.tiny_models import ALL, Tiny
from trainables.base_model.config import load_config
from trainables.base_model.weights import fresh_parameters, load_weights

LABELS = ("a", "b")


def changed(model: Path, folder: Path, drop: tuple[str, ...] = (), **config: Any) -> ModelSection:
    """A copy of `model` with another config, or without some weights."""
    shutil.copytree(model, folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **config}))
    weights = folder / "model.safetensors"
    kept = {name: one for name, one in load_file(weights).items() if not name.endswith(drop)} if drop else None
    if kept is not None:
        save_file(kept, weights, metadata={"format": "pt"})
    return ModelSection(path=str(folder))


@pytest.mark.parametrize(
    ("settings", "number", "example"),
    [
        ({"num_hidden_layers": 4}, 32, r"bert\.encoder\.layer\.2\.\S+"),
        # Of 16 in each block all but the inner bias of its MLP, 3 embeddings and their normalisation.
        ({"hidden_size": 64}, 35, r"bert\.embeddings\.\S+"),
        ({"vocab_size": 40_000}, 1, r"bert\.embeddings\.word_embeddings\.weight"),
        ({"drop": ("position_embeddings.weight",)}, 1, r"bert\.embeddings\.position_embeddings\.weight"),
        ({"drop": ("embeddings.LayerNorm.bias",)}, 1, r"bert\.embeddings\.LayerNorm\.bias"),
    ],
)
def test_a_base_with_missing_parts_is_refused(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], number: int, example: str
) -> None:
    model = changed(tiny_model, tmp_path / "model", **settings)
    config = load_config(model, LABELS)
    line = (
        rf"^model\.path = {model.path}: {number} weights of the base are missing or have another shape, such as "
        rf"{example}; allowed: a model folder whose weights fit its config\.json$"
    )
    with pytest.raises(RequestError, match=line):
        load_weights(model, config, LABELS)
    with pytest.raises(RequestError, match=line):
        fresh_parameters(model, config)


def test_a_missing_pooler_and_a_head_of_other_classes_are_not(tiny_model: Path) -> None:
    model = ModelSection(path=str(tiny_model))
    fresh = load_weights(model, load_config(model, LABELS), LABELS).fresh
    assert {name.split(".")[-3] if "pooler" in name else name.split(".")[0] for name in fresh} == {
        "pooler",
        "classifier",
    }


@pytest.mark.parametrize("tiny", ALL, ids=str)
def test_a_whole_checkpoint_of_every_family_passes(tiny: Tiny, tmp_path: Path) -> None:
    saved = tiny.model()
    (saved if tiny.task is Task.CAUSAL_LM else saved.base_model).save_pretrained(tmp_path)
    model = ModelSection(path=str(tmp_path), task=tiny.task)
    labels = () if tiny.task is Task.CAUSAL_LM else LABELS
    fresh = load_weights(model, load_config(model, labels), labels).fresh
    assert set(fresh) <= {name for name, _ in saved.named_parameters() if inside_head(name, tiny)}


def inside_head(name: str, tiny: Tiny) -> bool:
    return any(name.startswith(f"{module}.") for module in tiny.inventory.head_modules) or "pooler" in name


def test_an_output_that_is_tied_to_nothing_must_be_there(tmp_path: Path) -> None:
    tiny = Tiny("llama", Task.CAUSAL_LM)
    tiny.model().base_model.save_pretrained(tmp_path)
    model = ModelSection(path=str(tmp_path), task=tiny.task)
    with pytest.raises(RequestError, match=r"1 weights of the base are missing .* lm_head\.weight"):
        load_weights(model, load_config(model, ()), ())
