"""Saved adapters and merged models, loaded as their users would: the base by transformers, the adapter by PEFT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Quantization, Task
from trainables.base_model.config import load_config, read_config, task_class
from trainables.base_model.identity import base_identity, check_base
from trainables.base_model.inventory import meta_model
from trainables.base_model.model_files import read_tokenizer
from trainables.base_model.quantization import dequantise, quantization_settings
from trainables.base_model.weights import left_alone, pretrained
from trainables.methods.registry import adapters
from trainables.tuners.float32_modules import keep_type

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
LABELS = "labels.json"
BASE = "base.json"


def load_export(folder: Path, model: ModelSection, dtype: torch.dtype) -> PreTrainedModel | PeftModel:
    """Load the adapted model of an export: an adapter on its base, or a merged model that needs none.

    Raises:
        RequestError: when the model is not the base of the adapter.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if (folder / ADAPTER_CONFIG).is_file():
        adapters()
        check_base_of(folder, model)
        adapted: PeftModel = PeftModel.from_pretrained(load_base(folder, model, dtype), folder)
        keep_type(adapted, dtype)
        return adapted
    merged: PreTrainedModel = task_class(model.task).from_pretrained(folder, dtype=dtype, use_safetensors=True)
    return merged


def load_on_dequantised(folder: Path, model: ModelSection, dtype: torch.dtype) -> PeftModel:
    """Load an adapter on its base with plain weights, equal to those that a quantised base stands for."""
    adapters()
    check_base_of(folder, model)
    base = load_base(folder, model, dtype)
    return PeftModel.from_pretrained(base if model.quantization is None else dequantise(base), folder)


def load_base(folder: Path, model: ModelSection, dtype: torch.dtype) -> PreTrainedModel:
    """Load the base with a head for the labels of the adapter in `folder`."""
    base: PreTrainedModel = pretrained(model, load_config(model, read_labels(folder)), dtype=dtype)
    return base


def loading_settings(model: ModelSection, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings, beside the path, with which transformers loads an adapter's base: head and padding."""
    settings: dict[str, Any] = {}
    if model.task is Task.REGRESSION:
        settings["num_labels"] = 1
    elif labels:
        settings["num_labels"] = len(labels)
    padding = padding_of(model, labels)
    if padding is not None and padding != read_config(model).get_text_config().pad_token_id:
        settings["pad_token_id"] = padding
    return settings


def bitsandbytes_settings(model: ModelSection, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings of transformers' `BitsAndBytesConfig` for an adapter's base, but for the type it computes in.

    Empty if the base is not quantised.
    """
    if model.quantization is None:
        return {}
    config = load_config(model, labels)
    return quantization_settings(model.quantization, left_alone(model, config))


def padding_of(model: ModelSection, labels: tuple[str, ...]) -> int | None:
    """Return the padding token in the config of an adapted model; None for images."""
    if model.task is Task.IMAGE_CLASSIFICATION:
        return None
    config = load_config(model, labels)
    known: int | None = config.get_text_config().pad_token_id
    padding: int = read_tokenizer(model, config).pad_token_id if known is None else known
    return padding


def check_base_of(folder: Path, model: ModelSection) -> None:
    """Check, by its config alone, that a model is the base that the adapter in `folder` was trained on.

    Raises:
        RequestError: naming the difference.
    """
    adapters()
    head = PeftConfig.from_pretrained(folder).modules_to_save or ()
    here = base_identity(meta_model(load_config(model, read_labels(folder)), model.task), head)
    try:
        check_base(json.loads((folder / BASE).read_text(encoding="utf-8")), here)
    except ValueError as error:
        raise RequestError(f"model.path = {model.path}: {error}; allowed: the base that the search used") from None


def write_base(folder: Path, model: PeftModel, quantization: Quantization | None = None) -> None:
    """Write the identity of the base, which `check_base_of` reads, and how it was quantised."""
    head = model.peft_config[model.active_adapter].modules_to_save or ()
    identity = base_identity(model.get_base_model(), head)
    told = {} if quantization is None else {"quantization": quantization}
    (folder / BASE).write_text(json.dumps(identity | told), encoding="utf-8")


def read_labels(folder: Path) -> tuple[str, ...]:
    """Read the names of the classes, in the order of the logits; none for tasks without classes."""
    return tuple(json.loads((folder / LABELS).read_text(encoding="utf-8")))


def write_labels(folder: Path, labels: tuple[str, ...]) -> None:
    """Write the names of the classes, which `read_labels` reads."""
    (folder / LABELS).write_text(json.dumps(list(labels), ensure_ascii=False), encoding="utf-8")


def needs_own_tuner(folder: Path) -> bool:
    """Return whether the adapter in `folder` needs a tuner of ours, so that PEFT alone cannot load it."""
    adapters()
    return not type(PeftConfig.from_pretrained(folder)).__module__.startswith("peft.")
