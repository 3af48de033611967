"""A model's files as other libraries read them: any error becomes one line that names `model.path`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedConfig
from transformers.utils import cached_file, find_adapter_config_file

from spaces.errors import RequestError, one_line
from spaces.spec.sections import ModelSection

_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_TYPES = {"F64", "F32", "F16", "BF16"}
_POINTER = b"version https://git-lfs"
_MAY_BE_POINTERS = {".json", ".safetensors", ".model", ".txt"}
# Special tokens that occur around texts or for unknown words; the mask never does.
_IN_USE = ("pad", "bos", "eos", "cls", "sep", "unk")


def source_of(model: ModelSection) -> str:
    """Return the model's folder, or its id on the hub."""
    folder = os.path.expanduser(model.path)
    return folder if os.path.isdir(folder) else model.path


@contextmanager
def reading(model: ModelSection, failed: str, allowed: str) -> Iterator[None]:
    """Turn any error within into one line about the model.

    Only calls that read its files or build a model of them belong inside. Files of a wrong form make other libraries
    raise anything: Rust tokenizers, for one, raise plain `Exception`.

    Raises:
        RequestError: in place of any error.
    """
    try:
        yield
    except (RequestError, MemoryError):
        raise
    except Exception as error:
        pointer = _pointer(model)
        reason = f"{pointer} is a Git LFS pointer, not the file" if pointer else _reason(error)
        raise RequestError(f"model.path = {model.path}: {failed} ({reason}); allowed: {allowed}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError | ValueError | RuntimeError) or type(error) is Exception:
        return one_line(error)
    return f"{type(error).__name__}: {one_line(error)}"  # the text of a KeyError, for one, is no sentence


def _pointer(model: ModelSection) -> str | None:
    """Return the name of a file in the model's folder that is only a Git LFS pointer."""
    folder = Path(source_of(model))
    if not os.path.isdir(folder):
        return None
    for path in sorted(folder.iterdir()):
        if path.suffix in _MAY_BE_POINTERS and path.is_file():
            with path.open("rb") as file:
                if file.read(len(_POINTER)) == _POINTER:
                    return path.name
    return None


def check_folder(model: ModelSection) -> None:
    """Check that a local folder has a config and weights in safetensors, and that no model is an adapter.

    transformers loads an adapter that lies beside a model into it, and replaces one that lies alone by its base.

    Raises:
        RequestError: naming what is missing, or does not belong there.
    """
    source = source_of(model)
    folder = Path(source)
    local = os.path.isdir(source)  # False, where `Path.is_dir` raises, for a path that cannot be one
    if not local and model.path.startswith((".", "/", "~")):
        raise RequestError(f"model.path = {model.path}: no such folder; allowed: a model folder or a hub id")
    config = local and (folder / "config.json").is_file()
    weights = local and any(path.name != _ADAPTER_WEIGHTS for path in folder.glob("*.safetensors"))
    with reading(model, "cannot be read", "a model folder or a hub id"):
        adapter = find_adapter_config_file(source, revision=model.revision)
    if adapter is not None:
        if local and config and weights:
            raise RequestError(
                f"model.path = {model.path}: holds an adapter as well (adapter_config.json); allowed: a folder with "
                "the base alone, or with the adapter merged into it"
            )
        raise RequestError(
            f"model.path = {model.path}: holds an adapter{_base_of(Path(adapter))} and no base; allowed: the base, or "
            "a model with the adapter merged into it"
        )
    if local and not config:
        raise RequestError(f"model.path = {model.path}: has no config.json; allowed: a transformers model folder")
    if local and not weights:
        raise RequestError(f"model.path = {model.path}: has no safetensors; allowed: weights in safetensors only")


def _base_of(adapter_config: Path) -> str:
    try:
        base = json.loads(adapter_config.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" of {base}" if base else ""


def check_config(model: ModelSection, config: PreTrainedConfig) -> None:
    """Refuse quantised weights, and drop the settings of a config that change how the model is run.

    The makers' choices (an attention from another package or from the hub, outputs as tuples or with attentions) do not
    belong to the weights.

    Raises:
        RequestError: when the weights are quantised.
    """
    for one in (config, config.get_text_config()):
        for name in ("quantization_config", "compression_config"):
            settings = getattr(one, name, None)
            if settings is not None:
                method = settings.get("quant_method") if isinstance(settings, dict) else None
                raise RequestError(
                    f"model.path = {model.path}: its weights are quantised ({method or name} in its config.json); "
                    "allowed: weights in float32, float16 or bfloat16"
                )
        one.output_attentions = one.output_hidden_states = False
        one.return_dict = True
    config._attn_implementation = None
    config._experts_implementation = None
    if hasattr(config, "fusion_config"):
        del config.fusion_config


def check_types(model: ModelSection, parameters: Iterable[str]) -> None:
    """Refuse a checkpoint in which one of the `parameters` is not of a floating-point type.

    transformers would take quantised numbers as values, without the scales that belong to them.

    Raises:
        RequestError: naming one of them and its type.
    """
    config = cached_file(source_of(model), "config.json", revision=model.revision, local_files_only=True)
    folder = Path(config).parent
    index = folder / "model.safetensors.index.json"
    whole = folder / "model.safetensors"
    names = [whole.name] if whole.is_file() else json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    # The checkpoint of a body has no prefix of the task model. Buffers, which may be integers, are not parameters.
    ends = {_end(name) for name in parameters}
    for file in sorted({folder / name for name in names}):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                dtype = tensors.get_slice(name).get_dtype()
                if dtype not in _TYPES and _end(name) in ends:
                    raise RequestError(
                        f"model.path = {model.path}: its weights are quantised ({name} is {dtype}); allowed: weights "
                        "in float32, float16 or bfloat16"
                    )


def _end(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def read_tokenizer(model: ModelSection, config: PreTrainedConfig) -> Any:
    """Read the model's tokenizer, with a padding token, and without inputs that the model does not take.

    Raises:
        RequestError: when there is none, it has no token to pad with, or ids that the embedding of `config` lacks.
    """
    with reading(model, "no tokenizer can be loaded", "a model with its tokenizer files"):
        tokenizer = AutoTokenizer.from_pretrained(source_of(model), revision=model.revision, trust_remote_code=False)
        vocabulary: dict[str, int] = tokenizer.get_vocab()
    # From a folder without tokenizer files transformers makes one whose vocabulary is its special tokens.
    if set(vocabulary.values()) <= set(tokenizer.all_special_ids):
        raise RequestError(f"model.path = {model.path}: has no tokenizer; allowed: a model with its tokenizer files")
    rows = embedding_rows(config)
    if rows is not None:
        _check_ids(model, tokenizer, vocabulary, rows)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = _padding_token(model, tokenizer, config, vocabulary)
    if not getattr(config.get_text_config(), "type_vocab_size", None):
        # GPT-2, which has none, would add the embeddings of such ids to those of the text.
        tokenizer.model_input_names = [one for one in tokenizer.model_input_names if one != "token_type_ids"]
    return tokenizer


def embedding_rows(config: PreTrainedConfig) -> int | None:
    """Return the rows of the token embedding; None for a model without one."""
    rows: int | None = getattr(config.get_text_config(), "vocab_size", None)
    return rows


def _check_ids(model: ModelSection, tokenizer: Any, vocabulary: dict[str, int], rows: int) -> None:
    """Check that the embedding has a row for every id.

    Unused special tokens may lie beyond it: Gemma 3's text models lack their image tokens.
    """
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in _IN_USE}
    used = {one for one in ids.values() if one is not None}
    special = set(tokenizer.all_special_ids) - used
    beyond = sorted((one, token) for token, one in vocabulary.items() if one >= rows and one not in special)
    if beyond:
        named = ", ".join(f"{one} ({token!r})" for one, token in beyond[:3]) + (" …" if len(beyond) > 3 else "")
        raise RequestError(
            f"model.path = {model.path}: its tokenizer has ids {named}, its embedding {rows:,} rows, 0 to {rows - 1}; "
            "allowed: a tokenizer whose ids the embedding has, or a model resized to it"
        )


def _padding_token(model: ModelSection, tokenizer: Any, config: PreTrainedConfig, vocabulary: dict[str, int]) -> str:
    """Return the token that the model's config pads with, else the end token."""
    padding = config.get_text_config().pad_token_id
    for token, one in vocabulary.items():
        if one == padding:
            return token
    if tokenizer.eos_token_id is None:
        raise RequestError(
            f"model.path = {model.path}: its tokenizer has neither a padding nor an end token; allowed: one with either"
        )
    end: str = tokenizer.eos_token
    return end
