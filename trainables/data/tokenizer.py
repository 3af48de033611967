"""The tokenizer of the base model, refused early when it cannot serve."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoTokenizer

from spaces.errors import RequestError
from spaces.spec import SearchSpec
from trainables.data.messages import one_line


def load_tokenizer(spec: SearchSpec) -> Any:
    """The tokenizer at `model.path`, with a padding token.

    Raises:
        RequestError: there is none, it has no token to pad with, or `data.max_length` exceeds what the model takes.
    """
    path, revision = spec.model.path, spec.model.revision
    try:
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RequestError(
            f"model.path = {path}: no tokenizer can be loaded ({one_line(error)}); "
            "allowed: a model with its tokenizer files"
        ) from None
    # From a folder without tokenizer files transformers makes one whose vocabulary is its special tokens.
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):
        raise RequestError(f"model.path = {path}: has no tokenizer; allowed: a model with its tokenizer files")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise RequestError(
                f"model.path = {path}: its tokenizer has neither a padding nor an end token; allowed: one with either"
            )
        tokenizer.pad_token = tokenizer.eos_token
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    longest = min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
    if spec.data.max_length > longest:
        raise RequestError(f"data.max_length = {spec.data.max_length}: too long for {path}; allowed: at most {longest}")
    return tokenizer
