"""Stock forms: PEFT's own tuners, loaded by PEFT alone, compute the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from spaces.errors import RequestError
from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method, methods
from tests.trainables.short_trainings import attached, close, train, usual
from tests.trainables.tiny_models import ALL, BERT, GPT2, Tiny
from trainables.adapters.verification import FILE, save_verification
from trainables.exporting import stock_verification
from trainables.exporting.stock import stock_form, write_adapter
from trainables.exporting.stock_verification import Blocked
from trainables.methods.registry import adapters
from trainables.tuners.adapter import NoStockForm
from trainables.tuners.sparse.supertuning import common_sparsity, room

LINEAR = [tiny for tiny in ALL if tiny.family != "gpt2"]


def trained(tiny: Tiny, name: str, **settings: Any) -> PeftModel:
    chosen = configuration(name, settings) if settings else usual(name)
    torch.manual_seed(0)  # of the dropout
    return train(tiny, attached(tiny, name, chosen), name, chosen)


def check_stock(tiny: Tiny, name: str, folder: Path, **settings: Any) -> PeftConfig:
    """Write the stock form and load it as PEFT does; returns its config."""
    chosen = configuration(name, settings) if settings else usual(name)
    model = trained(tiny, name, **settings)
    model.save_pretrained(folder / "native")
    write_adapter(stock_form(model, name, chosen), model, folder / "native", folder / "stock")
    config = PeftConfig.from_pretrained(folder / "stock")
    assert type(config).__module__.startswith("peft.")
    loaded = PeftModel.from_pretrained(tiny.model(), folder / "stock")
    close(tiny.logits(loaded), tiny.logits(model), 1e-5)
    assert not torch.allclose(tiny.logits(loaded), tiny.logits(tiny.model()), atol=1e-4)
    return config


@pytest.mark.parametrize("name", methods())
@pytest.mark.parametrize("tiny", [BERT, GPT2], ids=lambda tiny: tiny.family)
def test_a_stock_form_computes_the_same(tiny: Tiny, name: str, tmp_path: Path) -> None:
    try:
        method(name).count(usual(name), tiny.inventory)
        adapters()[name].stock(attached(tiny, name), usual(name))
    except Unfit:
        return
    except NoStockForm:
        with pytest.raises(RequestError, match="--format stock: "):
            check_stock(tiny, name, tmp_path)
        return
    check_stock(tiny, name, tmp_path)


@pytest.mark.parametrize("tiny", LINEAR, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
def test_sparse_deltas_on_every_family(tiny: Tiny, tmp_path: Path) -> None:
    assert check_stock(tiny, "sparta", tmp_path, targets="all", density=0.02).peft_type == "SUPERTUNING"


@pytest.mark.parametrize("density", [1.0, 0.9, 0.5, 0.004])
@pytest.mark.parametrize("name", ["sparta", "dst"])
def test_sparse_deltas_of_every_density(name: str, density: float, tmp_path: Path) -> None:
    check_stock(BERT, name, tmp_path, targets="all", density=density)
    tensors = load_file(tmp_path / "stock" / "adapter_model.safetensors")
    places = [tensor for path, tensor in tensors.items() if path.endswith(".supertuning_indices")]
    assert all(len(one.unique()) == len(one) for one in places)
    trains = method(name).count(configuration(name, {"targets": "all", "density": density}), BERT.inventory)
    padding = sum(len(one) for one in places) - trains.trainable_parameters
    assert padding == 0 if name == "dst" else padding >= 0  # DST has one density for all weights


def test_layers_without_an_entry_are_left_out(tmp_path: Path) -> None:
    config = check_stock(BERT, "sparta", tmp_path, targets="all", density=5 / 6000)
    assert 0 < len(config.target_modules) < len(BERT.inventory.layers)


def test_a_sparse_adapter_on_conv1d_is_refused_by_layer() -> None:
    model = attached(GPT2, "sparta")
    with pytest.raises(RequestError, match=r"--format stock: sparta: transformer.h.0.attn.c_attn is a Conv1D; "):
        stock_form(model, "sparta", usual("sparta"))


@given(st.lists(st.tuples(st.integers(1, 10**7), st.floats(0, 1)), min_size=1, max_size=6))
def test_every_weight_has_room_and_the_densest_no_more(drawn: list[tuple[int, float]]) -> None:
    sizes = {str(number): size for number, (size, _) in enumerate(drawn)}
    counts = {str(number): max(1, int(size * part)) for number, (size, part) in enumerate(drawn)}
    sparsity = common_sparsity(counts, sizes)
    assert 0 <= sparsity < 1
    assert all(counts[name] <= room(sparsity, size) <= size for name, size in sizes.items())
    densest = max(counts, key=lambda name: counts[name] / sizes[name])
    assert room(sparsity, sizes[densest]) == counts[densest]


def test_the_verifying_process_finds_nothing_of_ours(tmp_path: Path) -> None:
    base = AutoModelForSequenceClassification.from_config(BERT.config)
    base.save_pretrained(tmp_path / "base")
    model = trained(BERT, "sparta")
    model.save_pretrained(tmp_path / "native")
    save_verification(model, BERT.inputs(), tmp_path, torch.float32)
    request = {
        "blocked": ["spaces", "trainables"],
        "folder": str(tmp_path / "native"),
        "base": str(tmp_path / "base"),
        "revision": None,
        "model_class": "AutoModelForSequenceClassification",
        "settings": {"num_labels": 3},
        "references": [str(tmp_path / FILE)],
    }
    done = subprocess.run(
        [sys.executable, "-I", str(stock_verification.__file__), json.dumps(request)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SPARTA" in done.stderr
    with pytest.raises(ModuleNotFoundError, match=r"spaces\.errors must not be needed"):
        Blocked(["spaces"]).find_spec("spaces.errors", None)
    assert Blocked(["spaces"]).find_spec("spacesuit", None) is None
