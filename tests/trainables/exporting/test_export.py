"""Exports of an adapter as a trial leaves it: verified, or refused with nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from spaces.errors import RequestError, WorkError
from spaces.model_card.card import Card
from spaces.spec.own_metric import keep
from spaces.spec.sections import Task
from spaces.spec.spec import load_spec
from tests.conftest import Workplace
from tests.trainables.artifacts import make_artifact
from tests.trainables.shipped_models import model_of, ship, spec_of
from trainables.adapters.saved_folder import ADAPTER_WEIGHTS, load_export
from trainables.adapters.verification import verify
from trainables.exporting.export import export
from trainables.exporting.stock import verify_stock

Trained = Callable[[str], tuple[Path, Card]]

pytestmark = pytest.mark.usefixtures("preloaded_processes")


@pytest.fixture
def trained(workplace: Workplace) -> Trained:
    """Makes the artifact of a trial of a method, and its facts."""

    def make(name: str) -> tuple[Path, Card]:
        folder = workplace.folder / f"adapter-{name}"
        return make_artifact(load_spec(workplace.spec()), name, folder, torch.arange(100, 124).reshape(3, 8))

    return make


def test_a_stock_export_is_plain_peft_and_proven(trained: Trained, tmp_path: Path) -> None:
    folder, card = trained("sparta")
    proof = export(folder, tmp_path / "out", card, "stock")
    assert proof.difference is not None
    assert proof.difference < 1e-4
    assert PeftConfig.from_pretrained(tmp_path / "out").peft_type == "SUPERTUNING"
    heads = {name for name in load_file(tmp_path / "out" / ADAPTER_WEIGHTS) if "supertuning" not in name}
    assert heads == {name for name in load_file(folder / ADAPTER_WEIGHTS) if "sparta" not in name}
    told = (tmp_path / "out" / "README.md").read_text()
    assert "SUPERTUNING of PEFT, which computes the same" in told
    assert "trainables" not in told

    # A stock form that computes something else is noticed.
    native = load_export(folder, card.spec.model, torch.float32)
    path = tmp_path / "out" / ADAPTER_WEIGHTS
    moved = {name: one * 1.001 if "values" in name else one for name, one in load_file(path).items()}
    save_file(moved, path, metadata={"format": "pt"})
    with pytest.raises(WorkError, match=r"the stock form's logits differ by .* from those of the"):
        verify_stock(tmp_path / "out", native, card.spec.model)


def test_a_low_rank_export_tells_what_it_costs(trained: Trained, tmp_path: Path) -> None:
    folder, card = trained("surm-circulant")
    proof = export(folder, tmp_path / "out", card, "lora", 32)
    assert proof.before == proof.after  # at full rank
    assert export(folder, tmp_path / "smaller", card, "lora", 0.3).before == proof.before
    assert PeftConfig.from_pretrained(tmp_path / "smaller").peft_type == "LORA"
    assert not (tmp_path / "smaller" / "verification.safetensors").exists()
    told = (tmp_path / "smaller" / "README.md").read_text()
    assert "LoRA with 0.3 of the squared singular values of every layer" in told
    assert f"| Validation accuracy of the adapter | {proof.before:.4f}" in told
    assert "Validation accuracy of this stand-in" in told
    assert "verification" not in told.replace("--no-verification-rows", "")


def test_a_low_rank_export_is_measured_by_a_metric_of_the_users_own_or_refused(
    trained: Trained, tmp_path: Path
) -> None:
    folder, card = trained("surm-circulant")

    def by(metric: str) -> Card:
        objective = card.spec.objective.model_copy(update={"metric": metric, "mode": "max", "perfect": 1.0})
        return replace(card, spec=card.spec.model_copy(update={"objective": objective}))

    good = keep(lambda found, wanted: found.count("good") / len(wanted), "own:good")
    proof = export(folder, tmp_path / "out", by(good), "lora", 32)
    assert proof.before == proof.after
    with pytest.raises(RequestError, match=r"objective\.metric = 'absent_module:f': no module absent_module in "):
        export(folder, tmp_path / "lost", by("absent_module:f"), "lora", 32)
    with pytest.raises(WorkError, match=r"objective\.metric = 'own:nothing': returned None"):
        export(folder, tmp_path / "lost", by(keep(lambda found, wanted: None, "own:nothing")), "lora", 32)
    assert not (tmp_path / "lost").exists()


def test_an_empty_folder_that_one_works_in_is_filled(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, card = trained("lora")
    out = tmp_path / "out"
    out.mkdir()
    before = out.stat().st_ino
    monkeypatch.chdir(out)
    export(folder, Path("."), card, "peft")
    assert Path.cwd().stat().st_ino == before
    names = {path.name for path in out.iterdir()}
    assert names >= {ADAPTER_WEIGHTS, "README.md", "recipe.yaml", "labels.json"}
    assert not any(name.startswith(".") for name in names)


def refused(folder: Path, out: Path, card: Card, form: str) -> str:
    with pytest.raises(RequestError) as caught:
        export(folder, out, card, form)  # type: ignore[arg-type]
    assert list(out.parent.glob("*out*")) == []
    return str(caught.value)


def test_what_cannot_be_exported_is_named(trained: Trained, tmp_path: Path) -> None:
    folder, card = trained("surm-circulant")
    told = refused(folder, tmp_path / "out", replace(card, method="full", config={}), "stock")
    assert told == "--format stock: full: PEFT has no equal form; allowed: peft, merged, lora"
    data = card.spec.data.model_copy(update={"train": "gone.csv"})
    lost = replace(card, spec=card.spec.model_copy(update={"data": data}))
    assert "data.train" in refused(folder, tmp_path / "out", lost, "lora")


@pytest.mark.parametrize("form", ["peft", "stock"])
def test_another_base_is_refused(trained: Trained, workplace: Workplace, tmp_path: Path, form: str) -> None:
    folder, card = trained("lora")
    other = workplace.folder / "other"
    shutil.copytree(workplace.model, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 65}))
    model = card.spec.model.model_copy(update={"path": str(other)})
    told = refused(folder, tmp_path / "out", replace(card, spec=card.spec.model_copy(update={"model": model})), form)
    assert told.startswith(f"model.path = {other}: the adapter was trained on another base: the number of parameters ")
    assert told.endswith("; allowed: the base that the search used")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_merged_export_has_the_type_of_the_base(dtype: torch.dtype, tmp_path: Path) -> None:
    """It is held in float32 to be trained, and no larger than its base when it is shipped."""
    model = ship(tmp_path / "model", model_of("llama", Task.SEQUENCE_CLASSIFICATION).to(dtype))
    spec = spec_of(model, tmp_path / "unread.jsonl", Task.SEQUENCE_CLASSIFICATION)
    adapter, card = make_artifact(spec, "lora", tmp_path / "adapter", torch.arange(4, 16).reshape(2, 6))
    proof = export(adapter, tmp_path / "out", card, "merged")
    name = str(dtype).removeprefix("torch.")
    assert proof.weights == name
    assert {one.dtype for one in load_file(tmp_path / "out" / "model.safetensors").values()} == {dtype}
    assert (tmp_path / "out" / "model.safetensors").stat().st_size <= (model / "model.safetensors").stat().st_size
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").dtype is dtype
    assert f"| Weights | {name}, as those of the base; merged in float32 |" in (tmp_path / "out/README.md").read_text()

    # Rounding is allowed for, another model is not.
    weights = load_file(tmp_path / "out" / "model.safetensors")
    weights["score.weight"] = weights["score.weight"].flip(0)
    save_file(weights, tmp_path / "out" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WorkError, match="logits differ"):
        verify(tmp_path / "out", spec.model)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_an_adapter_of_a_quantised_base_is_exported_in_every_form(quantization: str, tmp_path: Path) -> None:
    """As it is, verified on the base quantised again, and in the base with the numbers that this one stands for."""
    wide = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    model = ship(tmp_path / "model", model_of("llama", Task.SEQUENCE_CLASSIFICATION, **wide))
    section = {"path": str(model), "task": Task.SEQUENCE_CLASSIFICATION, "quantization": quantization}
    spec = spec_of(model, tmp_path / "unread.jsonl", Task.SEQUENCE_CLASSIFICATION, model=section)
    adapter, card = make_artifact(spec, "lora", tmp_path / "adapter", torch.arange(4, 16).reshape(2, 6))
    assert json.loads((adapter / "base.json").read_text())["quantization"] == quantization

    assert export(adapter, tmp_path / "peft", card, "peft").difference == 0
    told = (tmp_path / "peft" / "README.md").read_text()
    assert f"load_in_{4 if quantization == 'nf4' else 8}bit=True" in told
    assert "bitsandbytes 0" in told
    assert f"| Base | held in {quantization} by bitsandbytes" in told

    proof = export(adapter, tmp_path / "stock", card, "stock")
    assert proof.difference is not None
    assert proof.difference < 1e-4

    export(adapter, tmp_path / "merged", card, "merged")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert not hasattr(plain.config, "quantization_config")
    assert {one.dtype for one in plain.parameters()} == {torch.float32}
    told = (tmp_path / "merged" / "README.md").read_text()
    assert f"float32, as those of the base, dequantised from {quantization}; merged in float32" in told
    assert "BitsAndBytes" not in told
