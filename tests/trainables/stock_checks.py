"""Stock forms of adapters on tiny models, loaded by PEFT alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel

from spaces.methods.registry import configuration
from tests.trainables.short_trainings import attached, close, train, usual
from tests.trainables.tiny_models import Tiny
from trainables.exporting.stock import stock_form, write_adapter


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
