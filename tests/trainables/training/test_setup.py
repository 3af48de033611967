"""One training from its parts: which parameters train at which rate."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from spaces.methods.registry import configuration
from spaces.spec.sections import TrainingSection
from tests.trainables.shipped import parameter_groups
from tests.trainables.tiny_models import BERT
from tests.trainables.tiny_splits import split_for
from trainables.methods.dst.reselection import Reselection
from trainables.training.loop import Training
from trainables.training.setup import assemble
from trainables.tuners.adapter import StepHooks

SETTINGS = TrainingSection(max_steps=3, weight_decay=0.125, head_learning_rate=0.5)


def made(name: str | None, **settings: object) -> Training:
    AcceleratorState._reset_state(reset_partial_state=True)
    return assemble(
        BERT.model(),
        name or "lora",
        None if name is None else configuration(name, settings),
        BERT.inventory,
        split_for(BERT, 8),
        Accelerator(cpu=True),
        task=BERT.task,
        settings=SETTINGS,
        seed=1,
    )


def rates(training: Training) -> dict[float, set[int]]:
    """The parameters of the optimizer by their peak rate."""
    groups = training.optimizer.param_groups
    assert {group["weight_decay"] for group in groups} == {0.125}
    return {group["initial_lr"]: {id(one) for one in group["params"]} for group in groups}


def test_the_head_alone_without_a_configuration() -> None:
    training = made(None)
    adapter, head = parameter_groups(training.model, BERT.inventory)
    assert adapter == []
    assert rates(training) == {0.5: {id(one) for one in head}}
    assert type(training.hooks) is StepHooks


def test_adapter_and_head_have_rates_of_their_own() -> None:
    training = made("sparta", learning_rate=0.25)
    adapter, head = parameter_groups(training.model, BERT.inventory)
    assert rates(training) == {0.25: {id(one) for one in adapter}, 0.5: {id(one) for one in head}}


def test_a_methods_own_groups_and_hooks_are_used() -> None:
    training = made("lora", learning_rate=0.25, plus_ratio=8.0)
    fast = {id(one) for name, one in training.model.named_parameters() if "lora_B" in name}
    assert rates(training)[2.0] == fast
    assert isinstance(made("dst").hooks, Reselection)


@pytest.mark.parametrize("name", ["lora", "sparta", None])
def test_the_shared_base_is_not_written(name: str | None) -> None:
    before = BERT.fingerprint()
    training = made(name)
    training.train_to(3)
    assert torch.isfinite(BERT.logits(training.model)).all()
    assert BERT.fingerprint() == before
