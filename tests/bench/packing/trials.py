"""Trials for the study of packing, and what a step of them is: alone, or packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import torch

from spaces.methods.registry import configuration
from tests.bench.packing.pack import Batch, Pack, Trial
from tests.bench.steps.stages import DEVICE, Stage
from trainables.adapters.attach import attach, trained_parameters
from trainables.methods.registry import adapters

METHODS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("lora", {"targets": "all", "rank": 8}),
    ("surm-circulant", {"targets": "qkv"}),
    ("ia3", {}),
    ("lora", {"targets": "qkv", "rank": 1}),
)


def trials(stage: Stage, count: int) -> list[Trial]:
    """`count` trials, of each method in turn."""
    return [trial(stage, name, settings, seed) for seed, (name, settings) in enumerate(islice(cycle(METHODS), count))]


def trial(stage: Stage, name: str, settings: Mapping[str, Any], seed: int) -> Trial:
    """A trial that has not begun."""
    asked = configuration(name, dict(settings))
    model = attach(stage.model(), name, asked, stage.inventory, seed)
    adapter, head = trained_parameters(model, stage.inventory)
    tuner = adapters()[name]
    groups = [*tuner.groups(asked, adapter), {"params": list(head.values()), "lr": 1e-3}]
    return Trial(name, model, tuner.optimizer(groups, 0.01))


def batch_of(size: int, tokens: int, vocabulary: int, seed: int) -> Batch:
    """A random batch of two classes."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocabulary, (size, tokens), generator=generator)
    return {"input_ids": ids.to(DEVICE), "labels": torch.randint(2, (size,), generator=generator).to(DEVICE)}


def step_alone(one: Trial, batch: Batch) -> None:
    """A training step of a trial in its own model."""
    one.model(**batch).loss.backward()
    one.optimizer.step()
    one.optimizer.zero_grad(set_to_none=True)


def step_packed(pack: Pack, batches: Mapping[Trial, Batch]) -> None:
    """A training step of every trial: their losses are summed, and each moves by its own gradient."""
    torch.stack(list(pack.losses(batches).values())).sum().backward()
    for one in batches:
        one.optimizer.step()
        one.optimizer.zero_grad(set_to_none=True)
