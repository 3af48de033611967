"""Tiny models in memory, and adapters on them away from their start, on which capabilities are tried."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, GPT2Config, PreTrainedConfig, PreTrainedModel, Qwen2Config

from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method
from spaces.model.inventory import Inventory
from spaces.spec.sections import Task
from trainables.adapters.attach import attach, trained_parameters
from trainables.base_model.config import task_class
from trainables.base_model.inventory import inventory_of
from trainables.base_model.weights import copy_of
from trainables.tuners.adapter import StockForm

WIDTH, INNER = 64, 96
_FIRST, _LAST = 101, 102  # special tokens, where BERT's vocabularies have them
_TEXT = {
    "vocab_size": 120,
    "pad_token_id": 0,
    "bos_token_id": _FIRST,
    "eos_token_id": _LAST,
    "initializer_range": 0.2,
}
_BLOCK = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": INNER}
_CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": lambda: BertConfig(**_TEXT, **_BLOCK, max_position_embeddings=40),
    "qwen2": lambda: Qwen2Config(**_TEXT, **_BLOCK, num_key_value_heads=2, max_position_embeddings=40),
    "gpt2": lambda: GPT2Config(**_TEXT, n_embd=WIDTH, n_layer=1, n_head=2, n_inner=INNER, n_positions=40),
}
CONV1D = "gpt2"


@cache
def base(kind: str) -> tuple[PreTrainedModel, Inventory]:
    """Return a frozen model of random weights, and its layers.

    Attention layers are square except in `CONV1D`; the others are not.
    """
    task = Task.CAUSAL_LM if kind == CONV1D else Task.SEQUENCE_CLASSIFICATION
    model = task_class(task).from_config(_CONFIGS[kind]()).eval().requires_grad_(False)
    return model, inventory_of(model)


def fitted(name: str, kind: str, **settings: Any) -> Configuration:
    """Return the default of method `name` with `settings`, made smaller if it does not fit the base.

    Raises:
        ValueError: when the settings contradict each other, or the method is impossible with the base.
    """
    known, (_, inventory) = method(name), base(kind)
    chosen: Configuration = known.configuration(**settings)
    try:
        known.count(chosen, inventory)
    except Unfit:
        chosen = known.fit(chosen, inventory, inventory.base_parameters)
    return chosen


def possible_base(name: str) -> str:
    """Return a base of `nn.Linear` for method `name`: a few methods are impossible with an encoder."""
    try:
        fitted(name, "bert")
    except Unfit:
        return "qwen2"
    return "bert"


def adapted(name: str, kind: str, model: PreTrainedModel | None = None, **settings: Any) -> PeftModel:
    """Return the base, or the `model` that was made from it, with an adapter that has moved from its start."""
    plain, inventory = base(kind)
    chosen = fitted(name, kind, **settings)
    wrapped = attach(copy_of(plain) if model is None else model, name, chosen, inventory, seed=0).eval()
    move(trained_parameters(wrapped, inventory)[0].values())
    return wrapped


@torch.no_grad()
def move(parameters: Iterable[nn.Parameter]) -> None:
    """Move parameters from their start, as training does."""
    for parameter in parameters:
        parameter.add_(torch.randn_like(parameter), alpha=0.1)


def outputs(model: nn.Module) -> Tensor:
    """Return the logits of two short texts between special tokens; of a language model, those after the texts."""
    tokens = torch.arange(2, 14).reshape(2, 6)
    tokens[:, 0], tokens[:, -1] = _FIRST, _LAST
    logits: Tensor = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    return logits if logits.ndim == 2 else logits[:, -1]


def outputs_of(form: StockForm, kind: str) -> Tensor:
    """Return `outputs` of the base, with its head, and an adapter that PEFT loads by itself."""
    model = get_peft_model(copy_of(base(kind)[0]), copy.deepcopy(form.config))
    set_peft_model_state_dict(model, get_peft_model_state_dict(model, save_embedding_layers=False) | form.tensors)
    return outputs(model.eval())


def same(one: Tensor, other: Tensor, tolerance: float = 1e-4) -> bool:
    """Return whether two outputs differ by no more than rounding, relative to the largest."""
    return float((one - other).abs().max()) <= tolerance * float(other.abs().max())


class Packed(nn.Linear):
    """A linear layer whose weight is one column of bytes, as in quantised bases."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self._scale = float(layer.weight.abs().max()) / 127
        codes = (layer.weight / self._scale).round() + 128
        self.weight = nn.Parameter(codes.to(torch.uint8).reshape(-1, 1), requires_grad=False)
        self.bias = layer.bias

    def forward(self, input: Tensor) -> Tensor:
        """Return the product with the weight, as precisely as bytes hold it."""
        codes = self.weight.float().view(self.out_features, self.in_features) - 128
        return functional.linear(input, codes * self._scale, self.bias)


def packed(kind: str) -> PreTrainedModel:
    """Return the base with the weights of its layers packed."""
    plain, inventory = base(kind)
    model = copy_of(plain)
    for layer in inventory.layers:
        parent, _, child = layer.name.rpartition(".")
        setattr(model.get_submodule(parent), child, Packed(model.get_submodule(layer.name)))
    return model
