"""The longest input that a model takes, found by asking the model, because families count positions differently."""

from __future__ import annotations

import contextlib

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from trainables.base_model.storageless import Storageless, without_storage

_LONGEST_TRIED = 2**14


def longest_input(kind: type[PreTrainedModel], config: PreTrainedConfig) -> int | None:
    """Return the most tokens for which a text model of class `kind` has positions; None if these are relative.

    If no embedding sets a limit, as with rotary positions, it is the length that the config names.
    """
    limits = _learned(without_storage(kind, config), config.get_text_config())
    if limits:
        return min(limits)
    named: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return named


def _learned(model: PreTrainedModel, config: PreTrainedConfig) -> list[int]:
    """Return the lengths beyond which an embedding of the model is asked for rows that it lacks."""
    short, longer = (_lookups(model, config, length).lookups for length in (2, 3))
    grown = [two for one, two in zip(short, longer, strict=False) if two.largest > one.largest]
    limits = {one.rows - (one.largest - 2) for one in grown}  # the last of three positions is two from the first
    # Buckets of relative positions grow as well, but ever more slowly, and stay within their embedding.
    return [limit for limit in limits if limit > _LONGEST_TRIED or not _lookups(model, config, limit + 1).ended]


def _lookups(model: PreTrainedModel, config: PreTrainedConfig, length: int) -> Storageless:
    """Run the model's embeddings on a text of `length` tokens without padding."""
    tokens = torch.full((1, length), next(one for one in (0, 1) if one != config.pad_token_id))
    end = config.eos_token_id
    if isinstance(end, int) and end != config.pad_token_id and 0 <= end < config.vocab_size:
        tokens[0, -1] = end
    mode = Storageless(embeddings_alone=True)
    with torch.no_grad(), mode, contextlib.suppress(Exception):
        model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    return mode
