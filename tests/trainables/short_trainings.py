"""Tiny models with adapters, trained for a few steps."""

from __future__ import annotations

import copy
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from torch import Tensor, nn

from spaces.methods.base.method import Configuration
from spaces.methods.registry import configuration, method
from tests.trainables.cases import fits
from tests.trainables.shipped import parameter_groups
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.adapters.attach import attach
from trainables.methods.registry import adapters

SIZES: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2},
    "sparta": {"density": 0.1},
    "dst": {"density": 0.1},
    "adalora": {"rank": 3},
    "lora-xs": {"rank": 4, "scaling": 8.0},
    "melora": {"rank": 2},
    "ether": {"blocks": 2},
    "ether-plus": {"blocks": 2},
    "lorta": {"rank": 2},
    "pasta": {"token_ids": "1"},
    "vera": {"rank": 6},
    "randlora": {"rank": 5},
    "loha": {"rank": 2},
    "lokr": {"rank": 2},
    "shira": {"rank": 3},
    "oft": {"block_size": 4},
    "boft": {"block_size": 4},
    "hra": {"rank": 4},
    "fourierft": {"coefficients": 20},
    "waveft": {"coefficients": 20},
    "miss": {"rank": 5},
    "trainable-tokens": {"tokens": 20, "first_token": 0},
    "prompt-tuning": {"virtual_tokens": 3},
    "prefix-tuning": {"virtual_tokens": 3},
}


def usual(name: str, **settings: Any) -> Configuration:
    everywhere = {"targets": "all"} if method(name).placed else {}
    return configuration(name, SIZES.get(name, {}) | everywhere | settings)


def home(name: str) -> Tiny:
    """A base that the method fits."""
    return next(tiny for tiny in (BERT, GPT2) if fits(tiny, name, usual(name)))


def peft_class(name: str) -> type[PeftConfig]:
    return type(adapters()[name].peft_config(usual(name), home(name).inventory, seed=1))


def attached(tiny: Tiny, name: str, chosen: Configuration | None = None, seed: int = 1) -> PeftModel:
    return attach(tiny.model(), name, chosen or usual(name), tiny.inventory, seed)


def loss(tiny: Tiny, model: nn.Module) -> Tensor:
    return model(**tiny.inputs(next(model.parameters()).device)).logits.float().square().mean()


def train(tiny: Tiny, model: PeftModel, name: str, chosen: Configuration | None = None, steps: int = 2) -> PeftModel:
    """A few steps of the size that a search would make, and larger."""
    adapter, head = parameter_groups(model, tiny.inventory)
    optimizer = torch.optim.AdamW([{"params": adapter, "lr": 0.02}, {"params": head, "lr": 0.02}])
    hooks = adapters()[name].hooks(model, chosen or usual(name), optimizer, steps)
    model.train()
    for step in range(1, steps + 1):
        hooks.before_forward(step)
        loss(tiny, model).backward()
        if (auxiliary := hooks.auxiliary_loss(step)) is not None:
            auxiliary.backward()
        hooks.after_backward(step)
        optimizer.step()
        hooks.after_step(step)
        optimizer.zero_grad()
    return model.eval()


def close(one: Tensor, other: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


def moved(model: PeftModel, *adapters: str) -> PeftModel:
    """A copy of its own tensors, with adapters that are away from their start; the same whatever ran before."""
    model = copy.deepcopy(model)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for adapter in adapters:
            if adapter != "default":
                model.add_adapter(adapter, copy.deepcopy(model.peft_config["default"]))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            own = any(f".{adapter}" in path for adapter in adapters)
            if own and parameter.is_floating_point() and "modules_to_save" not in path:
                step = 0.3 * torch.randn(parameter.shape, generator=generator)
                if "magnitude" in path:  # DoRA's, which are norms: to unmerge PEFT divides by them
                    parameter.mul_(step.exp())
                else:
                    parameter.add_(step)
    return model.eval()
