"""The optimizers of `training.optim`, named as in transformers, and the methods that each of them serves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec

import torch
from transformers.optimization import Adafactor

from spaces.errors import RequestError
from spaces.spec.sections import OptimizerName
from trainables.methods.registry import adapters
from trainables.tuners.adapter import Adapter, AnyAdapter, ParameterGroup

RATE = 1e-3
"""The rate of a group without one of its own; every group has one."""

Groups = Sequence[ParameterGroup]


def _adamw(groups: Groups, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)


def _adamw_8bit(groups: Groups, weight_decay: float) -> torch.optim.Optimizer:
    # By name: the package is an extra, and not installed everywhere.
    make = import_module("bitsandbytes.optim").AdamW8bit
    optimizer: torch.optim.Optimizer = make(groups, lr=RATE, weight_decay=weight_decay)
    return optimizer


def _adafactor(groups: Groups, weight_decay: float) -> torch.optim.Optimizer:
    # As transformers' Trainer makes it: the rates are those of the groups and their schedule, not Adafactor's own.
    optimizer: torch.optim.Optimizer = Adafactor(
        groups, lr=RATE, weight_decay=weight_decay, scale_parameter=False, relative_step=False
    )
    return optimizer


_OPTIMIZERS: Mapping[OptimizerName, Callable[[Groups, float], torch.optim.Optimizer]] = {
    "adamw_torch": _adamw,
    "adamw_8bit": _adamw_8bit,
    "adafactor": _adafactor,
}


def make_optimizer(
    name: OptimizerName, groups: Groups, weight_decay: float, tuner: AnyAdapter | None = None
) -> torch.optim.Optimizer:
    """Return the optimizer of one training.

    Args:
        name: the spec's `training.optim`.
        groups: the parameters with their rates, the head's among them.
        weight_decay: of all groups.
        tuner: the method; None for the head alone. With `adamw_torch` it may choose an optimizer of its own.
    """
    if tuner is not None and name == "adamw_torch":
        return tuner.optimizer(groups, weight_decay)
    return _OPTIMIZERS[name](groups, weight_decay)


def check_optimizers(names: Iterable[OptimizerName], methods: Collection[str]) -> None:
    """Check that optimizers are installed and serve every method.

    Args:
        names: the values of `training.optim` that a search may give to a training.
        methods: the names of its methods.

    Raises:
        RequestError: naming the optimizer, the method, and what is allowed.
    """
    for name in names:
        if name == "adamw_8bit" and find_spec("bitsandbytes") is None:
            raise RequestError(
                "training.optim = adamw_8bit: needs bitsandbytes, which is not installed; allowed: after "
                "`pip install 'paretune[quantization]'`, or adamw_torch, adafactor"
            )
        for method in methods:
            if (reason := _refusal(name, adapters()[method])) is not None:
                raise RequestError(f"training.optim = {name}: {reason}; allowed: adamw_torch, or other methods")


def _refusal(name: OptimizerName, tuner: AnyAdapter) -> str | None:
    """Return why a method cannot be trained by an optimizer; None if it can."""
    if name == "adamw_torch":
        return None
    if type(tuner).optimizer is not Adapter.optimizer:
        return f"{tuner.name} is trained by an optimizer of its own"
    if name == "adamw_8bit" and tuner.moves_state:
        return (
            f"{tuner.name} moves the optimizer's state from entry to entry, and in 8 bits entries are scaled in blocks"
        )
    return None
