"""Packed trials get the losses and gradients that each gets alone, whoever else is in the pack."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spaces.spec.sections import Task
from tests.bench.packing.pack import Batch, Pack, Trial
from tests.bench.packing.trials import batch_of, step_alone, step_packed, trials
from tests.bench.steps.stages import Stage
from tests.trainables.tiny_models import TOKENS, VOCABULARY, Tiny


@pytest.fixture
def stage() -> Stage:
    tiny = Tiny("bert", Task.SEQUENCE_CLASSIFICATION, torch.float64)
    return Stage("tiny", tiny.model(), tiny.inventory, {}, middle=False)


def moved(stage: Stage, count: int) -> dict[Trial, Batch]:
    """Trials whose adapters are not at their start, where half of the gradients are 0, with batches of unlike sizes."""
    batches = {}
    for number, one in enumerate(trials(stage, count)):
        with torch.no_grad():
            for parameter in trained(one).values():
                parameter.add_(0.1 * torch.randn_like(parameter))
        batches[one] = batch_of(2 + number, TOKENS, VOCABULARY, number)
    return batches


def trained(one: Trial) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in one.model.named_parameters() if parameter.requires_grad}


def gradients(loss: Tensor, one: Trial) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, list(trained(one).values()), retain_graph=True, allow_unused=True)


def test_losses_and_gradients_are_those_of_each_trial_alone(stage: Stage) -> None:
    torch.manual_seed(0)
    batches = moved(stage, 5)
    losses = Pack(stage).losses(batches)
    total = torch.stack(list(losses.values())).sum()
    for one, batch in batches.items():
        alone = one.model(**batch).loss
        torch.testing.assert_close(losses[one], alone)
        found, expected = gradients(total, one), gradients(alone, one)
        assert any(gradient.abs().max() > 1e-4 for gradient in expected if gradient is not None)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_members_leave_and_join_between_steps(stage: Stage) -> None:
    torch.manual_seed(0)
    batches = moved(stage, 4)
    packed = list(batches.items())
    torch.manual_seed(0)
    alone = list(moved(stage, 4).items())
    pack = Pack(stage)
    for members in ((0, 1, 2), (1, 2), (1, 3)):
        step_packed(pack, dict(packed[number] for number in members))
        for number in members:
            step_alone(*alone[number])
    for (one, _), (other, _) in zip(packed, alone, strict=True):
        for name, parameter in trained(one).items():
            torch.testing.assert_close(parameter, trained(other)[name], rtol=1e-4, atol=1e-5, msg=name)
