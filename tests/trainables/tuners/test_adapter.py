"""Parts of a method that it need not give itself."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from torch import nn

from spaces.methods.registry import configuration
from tests.trainables.short_trainings import attached
from tests.trainables.tiny_models import BERT
from trainables.methods.registry import adapters
from trainables.tuners.adapter import NoStockForm, StepHooks, method_settings, target_names


def test_hooks_do_nothing_unless_a_method_says_so() -> None:
    hooks = StepHooks()
    hooks.before_forward(1)
    assert hooks.batch_loss(1, torch.ones(1), lambda: torch.ones(1)) is None
    assert hooks.auxiliary_loss(1) is None
    hooks.after_backward(1)
    hooks.after_step(1)
    assert hooks.state_dict() == {}


def test_settings_are_those_of_the_method_alone() -> None:
    chosen = configuration("lora-xs", {"rank": 3, "targets": "mlp", "layers": 1, "learning_rate": 0.5})
    assert method_settings(chosen) == {"rank": 3, "scaling": 1.0, "dropout": 0.0}  # type: ignore[arg-type]


def test_targets_have_full_names() -> None:
    names = target_names(configuration("lora", {"targets": "qv", "layers": "last"}), BERT.inventory)  # type: ignore[arg-type]
    last = BERT.inventory.blocks - 1
    assert names == [f"bert.encoder.layer.{last}.attention.self.{one}" for one in ("query", "value")]


def test_one_group_at_the_configurations_rate() -> None:
    chosen = configuration("sparta", {"learning_rate": 0.25})
    parameters = {"a": nn.Parameter(torch.zeros(2)), "b": nn.Parameter(torch.zeros(3))}
    tuner = adapters()["sparta"]
    (group,) = tuner.groups(chosen, parameters)
    assert group == {"params": list(parameters.values()), "lr": 0.25}
    optimizer = tuner.optimizer([group], 0.125)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [one["weight_decay"] for one in optimizer.param_groups] == [0.125]


def test_pefts_own_tuner_is_its_stock_form_and_others_have_none_unless_they_say_so() -> None:
    model: PeftModel = attached(BERT, "lora")
    form = adapters()["lora"].stock(model, configuration("lora", {}))
    assert form.config is model.peft_config["default"]
    assert form.tensors
    with pytest.raises(NoStockForm, match="full: PEFT has no equal form"):
        adapters()["full"].stock(attached(BERT, "full"), configuration("full", {}))
