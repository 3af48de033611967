"""The pretrained base: read once by the driver, shared read-only, and built from the shared arrays by each worker."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from accelerate import init_empty_weights
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from spaces.errors import RequestError
from spaces.sections import ModelSection, Task
from trainables.completeness import check_complete

_CLASSES: Mapping[Task, Any] = {
    Task.SEQUENCE_CLASSIFICATION: AutoModelForSequenceClassification,
    Task.REGRESSION: AutoModelForSequenceClassification,
    Task.CAUSAL_LM: AutoModelForCausalLM,
    Task.IMAGE_CLASSIFICATION: AutoModelForImageClassification,
}


def task_class(task: Task) -> Any:
    """The transformers class that builds a model with the head of `task`."""
    return _CLASSES[task]


# NumPy has no bfloat16: such tensors travel as their bits.
_BITS = {torch.bfloat16: torch.int16}


@dataclass(frozen=True)
class SharedWeights:
    """The weights of a task model as arrays that many processes may map, and never write.

    `fresh` names the parameters that the checkpoint does not have; they belong to the task head. `labels` names the
    classes in the order of the logits.
    """

    config: PretrainedConfig
    task: Task
    arrays: Mapping[str, npt.NDArray[Any]]
    types: Mapping[str, str]
    fresh: tuple[str, ...]
    labels: tuple[str, ...]


def read_config(model: ModelSection, **settings: Any) -> PretrainedConfig:
    """The model's config, with `settings` in place of its own.

    Raises:
        RequestError: when there is no such model, no safetensors in its folder, or the task does not suit it.
    """
    folder = Path(os.path.expanduser(model.path))
    local = os.path.isdir(folder)  # False, where `Path.is_dir` raises, for a path that cannot be one
    if local:
        if not (folder / "config.json").is_file():
            raise RequestError(f"model.path = {model.path}: has no config.json; allowed: a transformers model folder")
        if not any(folder.glob("*.safetensors")):
            raise RequestError(f"model.path = {model.path}: has no safetensors; allowed: weights in safetensors only")
    elif model.path.startswith((".", "/", "~")):
        raise RequestError(f"model.path = {model.path}: no such folder; allowed: a model folder or a hub id")
    source = str(folder) if local else model.path
    try:
        config = AutoConfig.from_pretrained(source, revision=model.revision, trust_remote_code=False, **settings)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise RequestError(
            f"model.path = {model.path}: cannot be read ({_line(error)}); allowed: a model folder or a hub id"
        ) from None
    if type(config) not in task_class(model.task)._model_mapping:
        fitting = ", ".join(task for task in Task if type(config) in task_class(task)._model_mapping)
        raise RequestError(
            f"model.task = {model.task}: {config.model_type} has no such head; allowed: {fitting or 'another model'}"
        )
    return config


def load_config(model: ModelSection, labels: tuple[str, ...]) -> PretrainedConfig:
    """The model's config with the task's labels.

    Raises:
        RequestError: as `read_config` does.
    """
    if model.task is Task.CAUSAL_LM:
        return read_config(model)
    if model.task is Task.REGRESSION:
        return read_config(model, num_labels=1, problem_type="regression")
    return read_config(
        model,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: position for position, label in enumerate(labels)},
        problem_type="single_label_classification",
    )


def load_weights(model: ModelSection, config: PretrainedConfig, labels: tuple[str, ...]) -> SharedWeights:
    """Read the weights; parameters of the head that the checkpoint lacks get values, replaced by `build` per seed.

    Raises:
        RequestError: when the weights cannot be read, or lack parts of the base.
    """
    try:
        loaded, fresh = _read(model, config)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unreadable(model, error) from None
    check_complete(model, loaded, fresh)
    arrays, types = {}, {}
    for name, tensor in loaded.state_dict().items():
        bits = tensor.view(_BITS[tensor.dtype]) if tensor.dtype in _BITS else tensor
        arrays[name] = bits.contiguous().numpy()
        types[name] = str(tensor.dtype).removeprefix("torch.")
    config.name_or_path = model.path
    return SharedWeights(config, model.task, arrays, types, fresh, labels)


def fresh_parameters(model: ModelSection, config: PretrainedConfig) -> tuple[str, ...]:
    """Names of the parameters that the checkpoint lacks, without reading a weight; of a hub's, only once it is here.

    Raises:
        RequestError: when the weights cannot be read, or lack parts of the base.
    """
    try:
        loaded, fresh = _read(model, config, device_map="meta", local_files_only=True)
    except OSError:
        return ()
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise _unreadable(model, error) from None
    check_complete(model, loaded, fresh)
    return fresh


def _read(model: ModelSection, config: PretrainedConfig, **more: Any) -> tuple[PreTrainedModel, tuple[str, ...]]:
    folder = Path(model.path).expanduser()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    loaded, report = task_class(model.task).from_pretrained(
        str(folder) if folder.is_dir() else model.path,
        config=config,
        revision=model.revision,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **more,
    )
    mismatched = {entry[0] if isinstance(entry, tuple) else entry for entry in report["mismatched_keys"]}
    return loaded, tuple(sorted({*report["missing_keys"], *mismatched}))


def build(shared: SharedWeights, device: torch.device, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The task model whose parameters are views of the shared arrays (copies only on a GPU or in another type).

    No parameter requires a gradient. Nothing may write into them: on the CPU they are shared between processes.
    """
    with init_empty_weights(include_buffers=False):
        model = task_class(shared.task).from_config(shared.config, trust_remote_code=False)
    tensors = {}
    for name, array in shared.arrays.items():
        array_type: torch.dtype = getattr(torch, shared.types[name])
        tensor = _view(array)
        tensor = tensor.view(array_type) if array_type in _BITS else tensor
        wanted = dtype if dtype is not None and array_type.is_floating_point else array_type
        tensors[name] = tensor.to(device=device, dtype=wanted)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    model.to(device)
    model.requires_grad_(False)
    model.eval()
    model.name_or_path = shared.config.name_or_path
    return model


def _view(array: npt.NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        # torch warns of read-only arrays because it could write through them; `build` promises not to.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def copy_of(model: PreTrainedModel) -> PreTrainedModel:
    """A model of its own modules around the same tensors: what one trial may change without touching the next."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied: PreTrainedModel = copy.deepcopy(model, tensors)
    return copied


def initialise_fresh(model: PreTrainedModel, fresh: tuple[str, ...], seed: int) -> None:
    """Give the parameters that the checkpoint lacks private initial values, drawn from `seed`."""
    owners: dict[str, list[str]] = {}
    for name in fresh:
        module, _, leaf = name.rpartition(".")
        owners.setdefault(module, []).append(leaf)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module_name in sorted(owners):
            module = model.get_submodule(module_name)
            for leaf in owners[module_name]:
                old = getattr(module, leaf)
                setattr(module, leaf, nn.Parameter(torch.empty_like(old), requires_grad=False))
            with torch.no_grad():
                model._init_weights(module)


def _unreadable(model: ModelSection, error: Exception) -> RequestError:
    return RequestError(
        f"model.path = {model.path}: weights cannot be read ({_line(error)}); allowed: a model with whole safetensors"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
