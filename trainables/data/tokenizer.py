"""The tokenizer of the base model: loaded, checked early, and saved with an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from spaces.errors import RequestError
from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec
from trainables.base_model.config import config_alone, model_class, set_padding
from trainables.base_model.model_files import read_tokenizer, reading
from trainables.base_model.positions import longest_input
from trainables.data.control_tokens import read_as_text


def load_tokenizer(spec: SearchSpec) -> Any:
    """Load the tokenizer at `model.path`, with a padding token. It reads the names of its control tokens as text.

    Raises:
        RequestError: when there is none, it has no token to pad with or ids that the model lacks, or `data.max_length`
            exceeds the positions of the model.
    """
    model = spec.model
    config = config_alone(model)
    tokenizer = read_tokenizer(model, config)
    set_padding(model, config, tokenizer.pad_token_id)
    with reading(model, "no model can be made of its config.json", "a whole config.json"):
        positions = longest_input(model_class(config, model.task), config)
    # If positions have no end, a tokenizer's length is only the one that it was trained with.
    if positions is not None and spec.data.max_length > (longest := min(positions, tokenizer.model_max_length)):
        raise RequestError(
            f"data.max_length = {spec.data.max_length}: too long for {model.path}; allowed: at most {longest}"
        )
    read_as_text(tokenizer)
    return tokenizer


def save_tokenizer(spec: SearchSpec, folder: Path, template: str | None = None) -> Any:
    """Write the tokenizer as the trials used it, with its length, so that it loads back as it is; return it.

    The tokenizer of a language model with a chat template still recognises control tokens, because otherwise it would
    read those of the template as text. Authors of prompts then have to set `split_special_tokens` themselves.

    Args:
        spec: the spec of the search.
        folder: where the files go.
        template: the chat template; without one the tokenizer keeps its own.

    Raises:
        RequestError: as `load_tokenizer` does.
    """
    tokenizer = load_tokenizer(spec)
    tokenizer.model_max_length = spec.data.max_length
    if template is not None:
        tokenizer.chat_template = template
    if spec.model.task is not Task.CAUSAL_LM:
        tokenizer.padding_side = "right"  # as trained; on the left it would move absolute positions
    elif tokenizer.chat_template:
        tokenizer.split_special_tokens = False
    tokenizer.init_kwargs["split_special_tokens"] = tokenizer.split_special_tokens
    tokenizer.save_pretrained(folder)
    if tokenizer.is_fast and not _loads_back(tokenizer, folder):
        # A family's own class may rebuild its pre-tokenizer; the general class loads the one that was written.
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text(encoding="utf-8"))
        general = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": tokenizer.model_input_names}
        path.write_text(json.dumps({**settings, **general}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return tokenizer


def _loads_back(tokenizer: Any, folder: Path) -> bool:
    loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return str(loaded.backend_tokenizer.pre_tokenizer) == str(tokenizer.backend_tokenizer.pre_tokenizer)
