"""Checks that a family of models keeps the examples of a packed row apart."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from spaces.errors import RequestError
from spaces.spec.sections import Task
from trainables.base_model.config import task_class

_VOCABULARY, _WIDTH, _TOLERANCE = 64, 16, 1e-3


def check_packing(config: PreTrainedConfig, path: str) -> None:
    """Check by a small model of the family, with random weights, that an example in a row is read as if alone.

    Args:
        config: the config of the base.
        path: `model.path`, for the message.

    Raises:
        RequestError: when other examples change its logits, or the family does not take positions.
    """
    try:
        apart = _reads_apart(_small(config))
    except Exception:  # a model may fail in any way
        apart = False
    if not apart:
        raise RequestError(
            f"data.packing = true: {path} (model_type {config.model_type}) does not keep the examples of a row apart; "
            "allowed: data.packing: false, or another model"
        )


def _small(config: PreTrainedConfig) -> PreTrainedModel:
    """Return a model of the family with few tokens and one layer of each kind, in float32."""
    small = copy.deepcopy(config)
    small.vocab_size = _VOCABULARY
    small.pad_token_id = small.bos_token_id = small.eos_token_id = None
    kinds = list(dict.fromkeys(getattr(small, "layer_types", None) or ()))
    if kinds:
        small.layer_types = kinds
    small.num_hidden_layers = max(1, len(kinds))
    for name in ("intermediate_size", "moe_intermediate_size", "ffn_dim", "n_inner"):
        if isinstance(getattr(small, name, None), int):
            setattr(small, name, _WIDTH)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = task_class(Task.CAUSAL_LM).from_config(small, dtype=torch.float32)
    return model.eval()


@torch.no_grad()
def _reads_apart(model: PreTrainedModel) -> bool:
    first, second = torch.arange(7)[None] + 3, torch.arange(5)[None] + 20
    alone = torch.cat([_logits(model, first), _logits(model, second)], dim=1)
    found = _logits(model, torch.cat([first, second], dim=1), torch.cat([torch.arange(7), torch.arange(5)])[None])
    return float((found - alone).abs().max()) <= _TOLERANCE * float(alone.abs().max())


def _logits(model: PreTrainedModel, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
    given = torch.arange(tokens.shape[1])[None] if positions is None else positions
    logits: Tensor = model(input_ids=tokens, position_ids=given, use_cache=False).logits
    return logits
