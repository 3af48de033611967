"""The optimizers by name: as transformers' Trainer makes them, for every method that they serve."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.optimization import Adafactor

from spaces.errors import RequestError
from spaces.methods.registry import methods
from spaces.spec.sections import TrainingSection
from tests.trainables.short_trainings import home, usual
from tests.trainables.tiny_splits import split_for
from trainables.methods.lora.lora import Lora
from trainables.methods.registry import adapters
from trainables.training.loop import Training, trained_tensors
from trainables.training.optimizers import check_optimizers, make_optimizer
from trainables.training.setup import assemble
from trainables.tuners.adapter import ParameterGroup

EIGHT_BITS = find_spec("bitsandbytes") is not None


def made(name: str, **training: Any) -> Training:
    AcceleratorState._reset_state(reset_partial_state=True)
    tiny = home(name)
    settings = {"reselection_interval": 2} if name == "dst" else {}
    return assemble(
        tiny.model(),
        name,
        usual(name, **settings),
        tiny.inventory,
        split_for(tiny, 8),
        Accelerator(cpu=True),
        task=tiny.task,
        settings=TrainingSection(max_steps=6, per_device_train_batch_size=4, **training),
        seed=1,
    )


def state(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in trained_tensors(training.model)}


@pytest.mark.parametrize("name", ["adamw_torch", "adafactor"])
def test_an_optimizer_steps_as_that_of_the_trainer(name: Any, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = nn.Linear(5, 4)
    theirs = nn.Linear(5, 4)
    theirs.load_state_dict(ours.state_dict())
    arguments = TrainingArguments(
        output_dir=str(tmp_path), optim=name, learning_rate=0.02, weight_decay=0.0, use_cpu=True, report_to=[]
    )
    expected = Trainer(model=theirs, args=arguments).create_optimizer()
    found = make_optimizer(name, [{"params": list(ours.parameters()), "lr": 0.02}], 0.0)
    for _ in range(3):
        inputs = torch.randn(8, 5, generator=generator)
        for model, optimizer in ((ours, found), (theirs, expected)):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_groups_keep_their_rates_and_all_decay() -> None:
    groups: list[ParameterGroup] = [{"params": [nn.Parameter(torch.ones(2))], "lr": rate} for rate in (0.25, 0.5)]
    found = make_optimizer("adafactor", groups, 0.125)
    assert isinstance(found, Adafactor)
    assert [(one["lr"], one["weight_decay"]) for one in found.param_groups] == [(0.25, 0.125), (0.5, 0.125)]


@pytest.mark.parametrize("method", ["lora", "dst", "sparta", "full"])
def test_a_training_with_adafactor_goes_on_to_the_bit(method: str, tmp_path: Path) -> None:
    training = made(method, optim="adafactor", lr_scheduler_type="polynomial")
    assert isinstance(training.optimizer, Adafactor)
    training.train_to(3)
    training.save(tmp_path / "checkpoint.pt")
    training.train_to(6)
    again = made(method, optim="adafactor", lr_scheduler_type="polynomial")
    again.load(tmp_path / "checkpoint.pt")
    again.train_to(6)
    expected = state(training)
    assert all(torch.isfinite(tensor).all() for tensor in expected.values())
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state(again).items())


def test_every_optimizer_but_that_of_8_bits_serves_every_method() -> None:
    check_optimizers(["adamw_torch", "adafactor"], methods())


def test_8_bits_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.training.optimizers.find_spec", lambda name: None)
    with pytest.raises(
        RequestError, match=r"training.optim = adamw_8bit: needs bitsandbytes.*paretune\[quantization\]"
    ):
        check_optimizers(["adamw_8bit"], ["lora"])


def test_8_bits_do_not_serve_a_method_that_moves_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.training.optimizers.find_spec", lambda name: object())
    check_optimizers(["adamw_8bit"], [name for name in methods() if name != "dst"])
    with pytest.raises(RequestError, match=r"training.optim = adamw_8bit: dst moves the optimizer's state"):
        check_optimizers(["adamw_torch", "adamw_8bit"], ["lora", "dst"])


def test_8_bits_train_where_their_package_is_installed(tmp_path: Path) -> None:
    if not EIGHT_BITS:
        with pytest.raises(ModuleNotFoundError, match="bitsandbytes"):
            made("lora", optim="adamw_8bit")
        return
    training = made("lora", optim="adamw_8bit")
    before = state(training)
    training.train_to(6)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in state(training).items())


class PlainLora(Lora):
    """LoRA with an optimizer of its own."""

    def optimizer(self, groups: Sequence[ParameterGroup], weight_decay: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, weight_decay=weight_decay)


def test_a_method_with_an_optimizer_of_its_own_has_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(adapters(), "lora", PlainLora())
    check_optimizers(["adamw_torch"], ["lora"])
    assert isinstance(made("lora").optimizer, torch.optim.SGD)
    with pytest.raises(RequestError, match=r"training.optim = adafactor: lora is trained by an optimizer of its own"):
        check_optimizers(["adafactor"], ["lora"])
