"""The tokenizer of the base model, refused early when it cannot serve."""

from __future__ import annotations

from typing import Any

from spaces.errors import RequestError
from spaces.spec import SearchSpec
from trainables.model_files import read_tokenizer, reading
from trainables.positions import longest_input
from trainables.weights import config_alone, model_class, tell_padding


def load_tokenizer(spec: SearchSpec) -> Any:
    """The tokenizer at `model.path`, with a padding token.

    Raises:
        RequestError: there is none, it has no token to pad with or ids that the model lacks, or `data.max_length`
            exceeds what the model takes.
    """
    model = spec.model
    config = config_alone(model)
    tokenizer = read_tokenizer(model, config)
    tell_padding(model, config, tokenizer.pad_token_id)
    with reading(model, "no model can be made of its config.json", "a whole config.json"):
        positions = longest_input(model_class(config, model.task), config)
    # Without positions that end, a tokenizer's length is that of its makers' training alone.
    if positions is not None and spec.data.max_length > (longest := min(positions, tokenizer.model_max_length)):
        raise RequestError(
            f"data.max_length = {spec.data.max_length}: too long for {model.path}; allowed: at most {longest}"
        )
    return tokenizer
