"""Loading an export as its user would: the base by transformers, the adapter by PEFT."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from spaces.sections import ModelSection
from trainables.registry import adapters
from trainables.weights import load_config, task_class

ADAPTER_CONFIG = "adapter_config.json"
LABELS = "labels.json"


def load_export(folder: Path, model: ModelSection, dtype: torch.dtype) -> PreTrainedModel | PeftModel:
    """The adapted model in an export: an adapter on its base, or a merged model that needs none."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if (folder / ADAPTER_CONFIG).is_file():
        adapters()
        return PeftModel.from_pretrained(load_base(folder, model, dtype), folder)
    merged: PreTrainedModel = task_class(model.task).from_pretrained(folder, dtype=dtype, use_safetensors=True)
    return merged


def load_base(folder: Path, model: ModelSection, dtype: torch.dtype) -> PreTrainedModel:
    """The base with the head that the adapter in `folder` was trained with."""
    base: PreTrainedModel = task_class(model.task).from_pretrained(
        str(Path(model.path).expanduser()) if Path(model.path).expanduser().is_dir() else model.path,
        config=load_config(model, read_labels(folder)),
        revision=model.revision,
        dtype=dtype,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        trust_remote_code=False,
    )
    return base


def read_labels(folder: Path) -> tuple[str, ...]:
    """Names of the classes, in the order of the logits; none for tasks without classes."""
    return tuple(json.loads((folder / LABELS).read_text(encoding="utf-8")))


def write_labels(folder: Path, labels: tuple[str, ...]) -> None:
    """Write what `read_labels` reads."""
    (folder / LABELS).write_text(json.dumps(list(labels), ensure_ascii=False), encoding="utf-8")


def needs_own_tuner(folder: Path) -> bool:
    """Whether PEFT alone cannot load the adapter in `folder`, for its tuner is one of ours."""
    adapters()
    return not type(PeftConfig.from_pretrained(folder)).__module__.startswith("peft.")
