"""The capabilities of each method, found by trying it on tiny models in memory."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from peft import PeftModel

from spaces.model.inventory import Inventory
from trainables.adapters.attach import merged, trained_parameters
from trainables.base_model.inventory import inside
from trainables.capabilities.stock_forms import stock_settings
from trainables.capabilities.tiny_models import (
    CONV1D,
    WIDTH,
    adapted,
    base,
    fitted,
    move,
    outputs,
    outputs_of,
    packed,
    possible_base,
    same,
)
from trainables.exporting.lora import low_rank
from trainables.methods.registry import adapters

Quantised = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Capabilities:
    """The capabilities that a method was found to have.

    Attributes:
        merge: whether it merges into plain weights that compute the same.
        several_adapters: whether several on one base can be switched.
        quantised_base: whether it trains beside weights that only the base's own layers can read; "unknown" if PEFT may
            have layers for them that need bitsandbytes.
        stock: the settings with an equal adapter of PEFT's own.
        lora_conversion: whether a LoRA of full rank computes the same.
        conv1d: whether it adapts layers that store their weight transposed.
    """

    merge: bool
    several_adapters: bool
    quantised_base: Quantised
    stock: str
    lora_conversion: bool
    conv1d: bool


def probe(name: str) -> Capabilities:
    """Try everything with method `name`, at its default settings, made to fit."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        kind = possible_base(name)
        return Capabilities(
            merge=_works(lambda: _merges(name, kind)),
            several_adapters=_works(lambda: _switches(name, kind)),
            quantised_base=_quantised(name, kind),
            stock=stock_settings(name, kind),
            lora_conversion=_works(lambda: _converts(name, kind)),
            conv1d=_works(lambda: _adapts(name, CONV1D)),
        )


def _works(attempt: Callable[[], bool]) -> bool:
    """Return whether an attempt succeeds; any exception means that it does not."""
    try:
        return attempt()
    except Exception:
        return False


@torch.no_grad()
def _adapts(name: str, kind: str) -> bool:
    return not same(outputs(adapted(name, kind)), outputs(base(kind)[0]))


@torch.no_grad()
def _merges(name: str, kind: str) -> bool:
    model = adapted(name, kind)
    expected = outputs(model)
    plain = merged(model)
    return not any(hasattr(module, "base_layer") for module in plain.modules()) and same(outputs(plain), expected)


@torch.no_grad()
def _switches(name: str, kind: str) -> bool:
    model = adapted(name, kind)
    first = outputs(model)
    config = copy.deepcopy(model.peft_config["default"])
    config.inference_mode = True  # as for a loaded adapter: some tuners allow only one that trains
    model.add_adapter("second", config)
    head = base(kind)[1].head_modules
    named = [(path.removeprefix("base_model.model."), one) for path, one in model.named_parameters()]
    move(one for path, one in named if ".second" in path and not inside(path, head))
    model.set_adapter("second")
    second = outputs(model)
    model.set_adapter("default")
    return not same(second, first) and same(outputs(model), first)


def _quantised(name: str, kind: str) -> Quantised:
    inventory = base(kind)[1]
    if _works(lambda: _trains(adapted(name, kind, packed(kind)), inventory)):
        return "yes"
    config = adapters()[name].peft_config(fitted(name, kind), inventory, 0)
    return "unknown" if type(config).__module__.startswith("peft.") else "no"


def _trains(model: PeftModel, inventory: Inventory) -> bool:
    torch.autograd.backward(outputs(model).square().sum())
    gradients = [parameter.grad for parameter in trained_parameters(model, inventory)[0].values()]
    norms = [float(gradient.norm()) for gradient in gradients if gradient is not None]
    return any(norms) and all(math.isfinite(norm) for norm in norms)


@torch.no_grad()
def _converts(name: str, kind: str) -> bool:
    model = adapted(name, kind)
    return same(outputs_of(low_rank(model, WIDTH), kind), outputs(model), 1e-3)
