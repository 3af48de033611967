"""The loop: interrupted or not, in small batches or large ones, a training is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from transformers import get_scheduler
from transformers.trainer_utils import SchedulerType

from spaces.methods.registry import configuration as configuration_of
from spaces.spec.sections import ScheduleName, Task, TrainingSection
from spaces.spec.spec import load_spec
from tests.conftest import Workplace
from tests.trainables.exhausted_memory import exhaust_above
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of
from trainables.base_model.weights import BaseWeights, build, initialise_fresh, load_weights
from trainables.data.splits import Splits, load_splits
from trainables.methods.lora.lora import Lora
from trainables.methods.registry import adapters
from trainables.training.loop import Training, TrainingFailed, trained_tensors, warmup_count
from trainables.training.setup import assemble
from trainables.tuners.adapter import ParameterGroup, StepHooks

pytestmark = pytest.mark.slow

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2, "dropout": 0.1},
    "sparta": {"density": 0.1},
    "surm-circulant": {},
    "dst": {"density": 0.05, "reselection_interval": 3, "silo": "global", "density_decay": "cosine"},
    "full": {},
    "adalora": {"rank": 4},
    "lora-xs": {"dropout": 0.1},
    "lorta": {},
    "pasta": {"dropout": 0.1},
    "prompt-tuning": {"virtual_tokens": 3},
}


@pytest.fixture
def parts(workplace: Workplace) -> tuple[BaseWeights, Splits]:
    spec = load_spec(workplace.spec())
    splits = load_splits(spec)
    return load_weights(spec.model, load_config(spec.model, splits.labels), splits.labels), splits


def make(parts: tuple[BaseWeights, Splits], method: str = "lora", **settings: Any) -> Training:
    weights, splits = parts
    model = build(weights, torch.device("cpu"))
    initialise_fresh(model, weights.fresh, seed=3)
    inventory = inventory_of(model, weights.fresh)
    configuration = configuration_of(method, METHODS[method])
    section = TrainingSection(**{"max_steps": 8, "per_device_train_batch_size": 8, "warmup_steps": 2, **settings})
    return assemble(
        model,
        method,
        configuration,
        inventory,
        splits.train,
        Accelerator(cpu=True),
        task=Task.SEQUENCE_CLASSIFICATION,
        settings=section,
        seed=3,
    )


def state(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in trained_tensors(training.model)}


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_training_goes_on_to_the_bit(
    parts: tuple[BaseWeights, Splits], method: str, tmp_path: Path
) -> None:
    whole = make(parts, method)
    whole.train_to(8)
    first = make(parts, method)
    first.train_to(4)
    first.save(tmp_path / "checkpoint.pt")
    second = make(parts, method)
    torch.manual_seed(99)
    second.load(tmp_path / "checkpoint.pt")
    second.train_to(8)
    expected, found = state(whole), state(second)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    before = state(make(parts, method))
    assert any(not torch.equal(before[name], tensor) for name, tensor in expected.items() if name in before)


def test_a_checkpoint_holds_what_is_given_beside_it(parts: tuple[BaseWeights, Splits], tmp_path: Path) -> None:
    training = make(parts)
    training.save(tmp_path / "checkpoint.pt", {"waited": 2, "best": {"tensor": torch.ones(1)}})
    assert training.load(tmp_path / "checkpoint.pt") == {"waited": 2, "best": {"tensor": torch.ones(1)}}
    training.save(tmp_path / "checkpoint.pt")
    assert training.load(tmp_path / "checkpoint.pt") == {}


@pytest.mark.parametrize("name", list(SchedulerType))
def test_the_schedules_are_those_of_transformers_that_need_no_further_setting(
    parts: tuple[BaseWeights, Splits], name: SchedulerType
) -> None:
    parameter = nn.Parameter(torch.zeros(1))
    rate = 0.004
    optimizer = torch.optim.SGD([{"params": [parameter], "lr": rate}], lr=1e-3)
    try:
        schedule = get_scheduler(name, optimizer, num_warmup_steps=2, num_training_steps=8)
        expected = []
        for _ in range(8):
            expected.append(optimizer.param_groups[0]["lr"] / rate)
            optimizer.step()
            schedule.step()
    except (TypeError, ValueError):
        assert name.value not in get_args(ScheduleName)
        return
    assert name.value in get_args(ScheduleName)
    training = make(parts, lr_scheduler_type=name.value)
    found: list[float] = []
    group = training.optimizer.param_groups[1]
    training.hooks = Rates(lambda: found.append(group["lr"] / group["initial_lr"]))
    training.train_to(8)
    assert found == pytest.approx(expected)


class Rates(StepHooks):
    """Calls a function at every update."""

    def __init__(self, noted: Callable[[], None]) -> None:
        self.noted = noted

    def after_backward(self, step: int) -> None:
        self.noted()


def test_every_step_is_told_with_its_loss(parts: tuple[BaseWeights, Splits]) -> None:
    told: list[tuple[int, float]] = []
    make(parts).train_to(3, lambda step, loss: told.append((step, loss)))
    assert [step for step, _ in told] == [1, 2, 3]
    # Two classes and a fresh head: the first loss is near that of a guess.
    assert told[0][1] == pytest.approx(np.log(2), abs=0.3)


def test_a_checkpoint_of_other_tensors_is_refused(parts: tuple[BaseWeights, Splits], tmp_path: Path) -> None:
    make(parts, "lora").save(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="is of another training"):
        make(parts, "sparta").load(tmp_path / "checkpoint.pt")


def test_accumulated_batches_are_one_large_batch(parts: tuple[BaseWeights, Splits]) -> None:
    large = make(parts, "sparta", per_device_train_batch_size=16)
    small = make(parts, "sparta", per_device_train_batch_size=4, gradient_accumulation_steps=4)
    for training in (large, small):
        no_dropout(training.model)
        training.train_to(3)
    for name, tensor in state(large).items():
        assert torch.allclose(tensor.double(), state(small)[name].double(), atol=1e-5), name


def test_out_of_memory_halves_the_batch_and_changes_nothing(parts: tuple[BaseWeights, Splits]) -> None:
    plain, short = make(parts, "sparta"), make(parts, "sparta")
    for training in (plain, short):
        no_dropout(training.model)
    short.model.register_forward_pre_hook(exhaust_above(2), with_kwargs=True)
    for training in (plain, short):
        training.train_to(2)
    assert short.micro_batch == 2
    for name, tensor in state(plain).items():
        assert torch.allclose(tensor.double(), state(short)[name].double(), atol=1e-5), name


def test_out_of_memory_with_one_example_fails_in_plain_words(parts: tuple[BaseWeights, Splits]) -> None:
    training = make(parts)
    training.model.register_forward_pre_hook(exhaust_above(0), with_kwargs=True)
    with pytest.raises(TrainingFailed, match="out of memory at step 1 with a single example"):
        training.train_to(1)


def test_out_of_memory_in_evaluation_halves_its_batch_and_changes_nothing(parts: tuple[BaseWeights, Splits]) -> None:
    plain, short = make(parts), make(parts)
    short.model.register_forward_pre_hook(exhaust_above(3), with_kwargs=True)
    _, splits = parts
    expected, found = plain.evaluate(splits.validation), short.evaluate(splits.validation)
    assert found.score("loss") == pytest.approx(expected.score("loss"), abs=1e-6)
    assert found.score("accuracy") == expected.score("accuracy")
    short.model.register_forward_pre_hook(exhaust_above(0), with_kwargs=True)
    with pytest.raises(TrainingFailed, match="out of memory in evaluation with a single example"):
        short.evaluate(splits.validation)


def test_a_loss_that_is_not_finite_fails_in_plain_words(parts: tuple[BaseWeights, Splits]) -> None:
    training = make(parts)
    with torch.no_grad():
        training.optimizer.param_groups[1]["params"][0].fill_(float("inf"))
    with pytest.raises(TrainingFailed, match="at step 1"):
        training.train_to(1)


class Recording(StepHooks):
    """Notes what is called and what stands in the gradients then."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.head = training.optimizer.param_groups[1]["params"][0]
        self.calls: list[tuple[str, int]] = []
        self.gradients: list[torch.Tensor | None] = []
        self.values: list[torch.Tensor] = []

    def note(self, name: str, step: int) -> None:
        self.calls.append((name, step))
        self.gradients.append(None if self.head.grad is None else self.head.grad.clone())
        self.values.append(self.head.detach().clone())

    def before_forward(self, step: int) -> None:
        self.note("before", step)

    def auxiliary_loss(self, step: int) -> torch.Tensor:
        self.note("auxiliary", step)
        return 3.0 * self.head.sum()

    def after_backward(self, step: int) -> None:
        self.note("backward", step)

    def after_step(self, step: int) -> None:
        self.note("step", step)


def test_hooks_are_called_in_order_around_every_step(parts: tuple[BaseWeights, Splits]) -> None:
    training = make(parts, warmup_steps=0, gradient_accumulation_steps=2)
    training.hooks = hooks = Recording(training)
    training.train_to(2)
    names = ["before", "auxiliary", "backward", "step"]
    assert hooks.calls == [(name, step) for step in (1, 2) for name in names]
    none, mean, complete, kept = hooks.gradients[:4]
    assert none is None
    assert mean is not None
    assert complete is not None
    assert kept is not None
    torch.testing.assert_close(complete, mean + 3.0)
    assert torch.equal(hooks.values[2], hooks.values[0])
    assert not torch.equal(hooks.values[3], hooks.values[0])
    assert hooks.gradients[4] is None


class Agreement(StepHooks):
    """A loss of every micro-batch: that two forwards agree, and that logits are small."""

    def batch_loss(self, step: int, logits: torch.Tensor, forward: Callable[[], torch.Tensor]) -> torch.Tensor:
        return (logits - forward().detach()).square().sum() + 0.5 * logits.square().sum()


@pytest.mark.parametrize("micro_batch", [8, 3, 1])
def test_a_loss_of_every_batch_is_part_of_the_mean_loss_of_a_step(
    parts: tuple[BaseWeights, Splits], micro_batch: int
) -> None:
    training = make(parts)
    no_dropout(training.model)
    training.hooks, training.micro_batch = Agreement(), micro_batch
    training.model.train()
    rows = np.arange(8)
    value = training._gradient(rows)
    found = {name: one.grad for name, one in training.model.named_parameters() if one.grad is not None}
    batch = parts[1].train.take(rows)
    logits = training.model(**{name: one for name, one in batch.items() if name != "labels"}).logits
    expected = torch.nn.functional.cross_entropy(logits, batch["labels"]) + 0.5 * logits.square().sum() / len(rows)
    assert value == pytest.approx(expected.item(), rel=1e-5)
    training.optimizer.zero_grad()
    expected.backward()
    for name, one in training.model.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], one.grad, rtol=1e-4, atol=1e-6)


class PlainLora(Lora):
    """LoRA with an optimizer of its own."""

    def optimizer(self, groups: Sequence[ParameterGroup], weight_decay: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, weight_decay=weight_decay)


def test_a_method_may_have_an_optimizer_of_its_own(
    parts: tuple[BaseWeights, Splits], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(adapters(), "lora", PlainLora())
    training = make(parts, weight_decay=0.0, head_learning_rate=0.25, max_grad_norm=1e9, warmup_steps=0)
    no_dropout(training.model)
    assert isinstance(training.optimizer, torch.optim.SGD)
    before = state(training)
    training._gradient(np.arange(8))
    gradients = {name: one.grad.clone() for name, one in training.model.named_parameters() if one.grad is not None}
    training.optimizer.step()
    after = state(training)
    for name, gradient in gradients.items():
        rate = 0.25 if "classifier" in name or "pooler" in name else configuration_of("lora", {}).learning_rate
        torch.testing.assert_close(after[name], before[name] - rate * gradient)


@pytest.mark.parametrize(("given", "steps"), [(0, 0), (0.06, 1), (0.5, 4), (1, 1), (3, 3)])
def test_warm_up_is_a_fraction_below_one(given: float, steps: int) -> None:
    assert warmup_count(TrainingSection(max_steps=8, warmup_steps=given)) == steps


def no_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
