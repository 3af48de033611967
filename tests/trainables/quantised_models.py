"""Tiny models with quantised layers, made in memory. They are as wide as a block of 4 bits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import torch
from bitsandbytes.nn import Int8Params, Params4bit
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from spaces.model.inventory import Inventory
from spaces.spec.sections import Quantization, Task
from tests.trainables.tiny_models import ALL, Tiny
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.base_model.quantization import kept_layers, replace_layers, settle, shared_states
from trainables.base_model.weights import copy_of

_SIZES = {
    **dict.fromkeys(("hidden_size", "dim", "d_model"), 64),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "d_ff"), 128),
    **{"head_dim": 16, "d_kv": 32},
}


@dataclass(frozen=True)
class Wide(Tiny):
    """A family with a task, of a multiple of 64 features everywhere."""

    @property
    def config(self) -> PreTrainedConfig:
        config = super().config
        for name, size in _SIZES.items():
            if name in config.to_dict():
                setattr(config, name, size)
        return config

    @property
    def inventory(self) -> Inventory:
        return _inventory(self)


WIDE = tuple(Wide(one.family, one.task) for one in ALL if one.family != "gpt2")  # GPT-2's layers are not quantised
BERT, LLAMA, T5 = (
    next(one for one in WIDE if (one.family, one.task) == wanted)
    for wanted in (
        ("bert", Task.SEQUENCE_CLASSIFICATION),
        ("llama", Task.CAUSAL_LM),
        ("t5", Task.SEQUENCE_CLASSIFICATION),
    )
)


def quantised(tiny: Tiny, quantization: Quantization) -> PreTrainedModel:
    """A model of its own around shared tensors, some of them quantised."""
    return copy_of(_shared(tiny, quantization))


def digest(tiny: Tiny, quantization: Quantization) -> str:
    """Changes when anything in the shared memory does."""
    found = hashlib.sha256()
    model = _shared(tiny, quantization)
    states = [getattr(one, "absmax", one) for one in shared_states(model)]
    for tensor in (*model.parameters(), *states):
        found.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@cache
def _inventory(wide: Wide) -> Inventory:
    return inventory_of(meta_model(wide.config, wide.task))


@cache
def _shared(tiny: Tiny, quantization: Quantization) -> PreTrainedModel:
    model = tiny.model()
    kept = kept_layers(model, (), quantization)
    linear = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear) and name not in kept}
    replace_layers(model, quantization, linear)
    for name, old in linear.items():
        new = model.get_submodule(name)
        new.weight = _weight(old.weight.detach().clone(), quantization, new)
        new.bias = old.bias
    settle(model)
    return model.requires_grad_(False).eval()


def _weight(weight: Tensor, quantization: Quantization, layer: nn.Module) -> nn.Parameter:
    if quantization == "int8":
        return Int8Params(weight, requires_grad=False, has_fp16_weights=False).to("cpu")
    kept = {"compress_statistics": False, "quant_type": "nf4", "module": layer}
    return Params4bit(weight, requires_grad=False, **kept).to("cpu")
