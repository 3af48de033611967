"""A stock form is one that computes the same, and is told for the settings that have one."""

from __future__ import annotations

from typing import Any

import pytest
from peft import PeftModel

from spaces.methods.base.knobs import Choice
from spaces.methods.registry import method
from trainables.capabilities.probe import probe
from trainables.methods.registry import adapters
from trainables.methods.sparta import Sparta
from trainables.tuners.adapter import Adapter, NoStockForm, StockForm

pytestmark = pytest.mark.slow


def square_stock(model: PeftModel) -> StockForm:
    """What LoRA would give if it had a stock form of square layers alone, and of any with a dropout."""
    layers = [module for module in model.modules() if hasattr(module, "lora_A")]
    dropout = getattr(model.peft_config["default"], "lora_dropout", 0.0)  # starts from a weight take none
    if not dropout and any(one.in_features != one.out_features for one in layers):
        raise NoStockForm("not square")
    return Adapter.stock(adapters()["lora"], model, method("lora").configuration())


@pytest.mark.parametrize("factor", [None, 2.0])
def test_a_form_that_computes_something_else_is_no_stock_form(
    monkeypatch: pytest.MonkeyPatch, factor: float | None
) -> None:
    def wrong(self: Adapter[Any], model: PeftModel, configuration: Any) -> StockForm:
        form = Adapter.stock(self, model, configuration)
        return StockForm(form.config, {name: one * factor for name, one in form.tensors.items()} if factor else {})

    monkeypatch.setattr(type(adapters()["lora"]), "stock", wrong)
    assert probe("lora").stock == "no"


def test_a_stock_form_of_some_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    lora = type(adapters()["lora"])
    monkeypatch.setattr(lora, "stock", lambda self, model, configuration: square_stock(model))
    monkeypatch.setattr(method("lora"), "knobs", {})
    assert probe("lora").stock == "square layers; init=pissa: no; init=olora: no; no Conv1D"
    monkeypatch.setattr(method("lora"), "knobs", {"dropout": Choice((0.0, 0.5)), "rank": Choice((8, 4))})
    assert probe("lora").stock == "square layers; dropout=0.5: yes; init=pissa: no; init=olora: no; no Conv1D"
    monkeypatch.setattr(Sparta, "stock", Adapter.stock)
    assert probe("sparta").stock == "no"
