"""The capability matrix is found by trying: each answer can come out either way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import PeftModel

from spaces.knobs import Choice
from spaces.registry import method, methods
from trainables.capabilities import Capabilities, probe
from trainables.methods.base import Adapter, NoStockForm, StockForm
from trainables.methods.sparta import Sparta, SpartaLayer
from trainables.registry import adapters

KNOWN = {
    "lora": Capabilities(True, True, "yes", "yes", True, True),
    "full": Capabilities(True, True, "no", "no", False, True),
}


@pytest.mark.parametrize("name", methods())
def test_every_method_is_tried(name: str) -> None:
    random = torch.get_rng_state()
    found = probe(name)
    assert torch.equal(torch.get_rng_state(), random)
    assert found == KNOWN.get(name, found)
    assert any((found.merge, found.several_adapters))


def test_sparse_deltas_have_a_stock_form_but_for_conv1d() -> None:
    found = probe("sparta")
    assert found.stock.startswith("yes")
    assert found.stock.endswith("no Conv1D")
    assert found.quantised_base == "no"


@pytest.mark.parametrize(
    ("owner", "broken_one", "lost"),
    [
        (SpartaLayer, "merge", "merge"),
        (PeftModel, "add_adapter", "several_adapters"),
        (SpartaLayer, "supports_lora_conversion", "lora_conversion"),
    ],
)
def test_what_breaks_is_no_capability(monkeypatch: pytest.MonkeyPatch, owner: type, broken_one: str, lost: str) -> None:
    def broken(*_: Any, **__: Any) -> bool:
        if broken_one == "supports_lora_conversion":
            return False
        raise NotImplementedError

    monkeypatch.setattr(owner, broken_one, broken)
    assert getattr(probe("sparta"), lost) is False


def test_a_merge_that_computes_something_else_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpartaLayer, "entries", lambda self, name: (self.places[name], self.deltas[name].detach() + 1))
    monkeypatch.setattr(SpartaLayer, "merge", lambda self, *_, **__: self._written.restore())
    assert not probe("sparta").merge


def square_stock(model: PeftModel) -> StockForm:
    """What LoRA would give if it had a stock form of square layers alone, and of any with a dropout."""
    layers = [module for module in model.modules() if hasattr(module, "lora_A")]
    if not model.peft_config["default"].lora_dropout and any(one.in_features != one.out_features for one in layers):
        raise NoStockForm("not square")
    return StockForm(model.peft_config["default"], {})


def test_a_stock_form_of_some_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    lora = type(adapters()["lora"])
    monkeypatch.setattr(lora, "stock", lambda self, model, configuration: square_stock(model))
    monkeypatch.setattr(method("lora"), "knobs", {})
    assert probe("lora").stock == "square layers; no Conv1D"
    monkeypatch.setattr(method("lora"), "knobs", {"dropout": Choice((0.0, 0.5)), "rank": Choice((8, 4))})
    assert probe("lora").stock == "square layers; dropout=0.5: yes; no Conv1D"
    monkeypatch.setattr(Sparta, "stock", Adapter.stock)
    assert probe("sparta").stock == "no"
