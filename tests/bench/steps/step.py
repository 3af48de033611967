"""One training step of one competitor, as the training loop makes it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spaces.methods.base.method import Configuration
from spaces.methods.registry import configuration as configuration_of
from spaces.methods.registry import method
from tests.bench.steps.competitors import FROZEN, Competitor
from tests.bench.steps.stages import DEVICE, Stage
from trainables.adapters.attach import attach, head_only, trained_parameters
from trainables.methods.registry import adapters
from trainables.tuners.adapter import StepHooks

_STEPS = 1_000_000  # of the training that this is a part of: no schedule comes to its end


class Step:
    """A step on the batch of a stage. Without a competitor the head alone trains: the frozen limit."""

    def __init__(self, stage: Stage, competitor: Competitor | None, allowance: int | None = None) -> None:
        """`allowance`: trainable parameters that the competitor is fitted to, where it is like another one."""
        self._batch: Mapping[str, Tensor] = stage.batch
        self._hooks = StepHooks()
        self._made = 0
        self.parameters = 0
        model, inventory = stage.model(), stage.inventory
        if competitor is None or stage.middle:
            model.get_input_embeddings().register_forward_hook(_wanting_gradients)
        if competitor is None:
            self._model: nn.Module = head_only(model, inventory)
            _, head = trained_parameters(self._model, inventory)
            self._optimizer = torch.optim.AdamW([*head.values()], fused=True) if head else None
            return
        configuration: Configuration = configuration_of(competitor.method, dict(competitor.settings))
        if allowance is not None:
            configuration = method(competitor.method).fit(configuration, inventory, allowance)
        self.parameters = method(competitor.method).count(configuration, inventory).trainable_parameters
        self._model = attach(model, competitor.method, configuration, inventory, seed=0)
        adapter, head = trained_parameters(self._model, inventory)
        tuner = adapters()[competitor.method]
        groups = [*tuner.groups(configuration, adapter), {"params": list(head.values()), "lr": 1e-3}]
        optimizer = tuner.optimizer(groups, 0.01)
        self._optimizer = optimizer
        self._hooks = tuner.hooks(self._model, configuration, optimizer, _STEPS)

    def run(self) -> float:
        """Seconds of one step."""
        self._made += 1
        started = now()
        self._hooks.before_forward(self._made)
        self._model(**self._batch).loss.backward()
        self._hooks.after_backward(self._made)
        if self._optimizer is not None:
            self._optimizer.step()
        self._hooks.after_step(self._made)
        if self._optimizer is not None:
            self._optimizer.zero_grad(set_to_none=True)
        return now() - started


def steps_of(stage: Stage, competitors: Mapping[str, Competitor]) -> dict[str, Step]:
    """The frozen limit and a step of each competitor, by name."""
    steps = {FROZEN: Step(stage, None)}
    for name, one in competitors.items():
        steps[name] = Step(stage, one, None if one.like is None else steps[one.like].parameters)
    return steps


def now() -> float:
    """Seconds of a clock, when all that was begun on a GPU is done."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _wanting_gradients(module: nn.Module, given: Any, output: Tensor) -> Tensor:
    return output.requires_grad_(True)
