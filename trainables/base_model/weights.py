"""The pretrained base: read once by the driver, put into shared memory, and rebuilt around it by each worker."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Task
from trainables.base_model.completeness import check_complete, check_numbers
from trainables.base_model.config import model_class, read_config, task_class
from trainables.base_model.kept_head import KeptHead, kept_head, own_names
from trainables.base_model.model_files import (
    check_types,
    reading,
    source_of,
)

# NumPy has no bfloat16: such tensors are stored as their bits.
_BITS = {torch.bfloat16: torch.int16}


@dataclass(frozen=True)
class BaseWeights:
    """The weights of a task model as arrays that many processes may map, and never write.

    Attributes:
        config: the config of the task model.
        task: the task.
        arrays: the tensors by name; bfloat16 as its bits.
        types: the name of each tensor's torch type.
        fresh: names of the parameters that the checkpoint lacks; they belong to the task head.
        labels: names of the classes, in the order of the logits.
        notes: what became of a head that the checkpoint has.
    """

    config: PreTrainedConfig
    task: Task
    arrays: Mapping[str, npt.NDArray[Any]]
    types: Mapping[str, str]
    fresh: tuple[str, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load_weights(
    model: ModelSection, config: PreTrainedConfig, labels: tuple[str, ...], dtype: torch.dtype | None = None
) -> BaseWeights:
    """Read the weights. Parameters of the head that the checkpoint lacks get values that `initialise_fresh` replaces.

    Rows of a head in the checkpoint are put in the order of `labels`, by the names that its config gives them.

    Args:
        model: where the weights are.
        config: the config of the task model.
        labels: names of the classes.
        dtype: the type to cast them to; None leaves them in their own.

    Raises:
        RequestError: when the weights cannot be read, or lack parts of the base.
    """
    loaded, fresh, mismatched = _read(model, config, **({} if dtype is None else {"dtype": dtype}))
    check_complete(model, loaded, fresh)
    check_numbers(model, loaded)
    with reading(model, "weights cannot be read", "a model with whole safetensors"):
        check_types(model, (name for name, _ in loaded.named_parameters()))
    head = KeptHead()
    if labels:
        names = own_names(read_config(model))
        head = kept_head(model_class(config, model.task), config, fresh, mismatched, names, labels)
    arrays, types = {}, {}
    for name, tensor in loaded.state_dict().items():
        ordered = head.in_order(name, tensor)
        bits = ordered.view(_BITS[tensor.dtype]) if tensor.dtype in _BITS else ordered
        arrays[name] = bits.contiguous().numpy()
        types[name] = str(tensor.dtype).removeprefix("torch.")
    config.name_or_path = model.path
    fresh = tuple(sorted({*fresh, *head.fresh}))
    return BaseWeights(config, model.task, arrays, types, fresh, labels, head.notes)


def fresh_parameters(model: ModelSection, config: PreTrainedConfig) -> tuple[str, ...]:
    """Return the names of the parameters that the checkpoint lacks, without reading a weight.

    Of a model on the hub they are known only after its download; before it there are none.

    Raises:
        RequestError: when the weights cannot be read, or lack parts of the base.
    """
    loaded, fresh = _read_without_weights(model, config)
    if loaded is not None:
        check_complete(model, loaded, fresh)
    return fresh


def own_dtype(model: ModelSection, config: PreTrainedConfig) -> torch.dtype | None:
    """Return the type of the checkpoint's weights, without reading one; None before a hub's is downloaded."""
    loaded, _ = _read_without_weights(model, config)
    return None if loaded is None else loaded.dtype


def _read_without_weights(
    model: ModelSection, config: PreTrainedConfig
) -> tuple[PreTrainedModel | None, tuple[str, ...]]:
    try:
        loaded, fresh, _ = _read(model, config, device_map="meta", local_files_only=True)
    except RequestError:
        if not os.path.isdir(source_of(model)):
            return None, ()
        raise
    return loaded, fresh


def pretrained(model: ModelSection, config: PreTrainedConfig, **options: Any) -> Any:
    """Load the task model with `from_pretrained`, from safetensors, without running code of the checkpoint.

    Parameters whose shape differs from the config's, such as a head for other labels, get initial values.

    Args:
        model: where the weights are.
        config: the config of the task model.
        options: further arguments of `from_pretrained`.

    Returns:
        The result of `from_pretrained`: the model, or with `output_loading_info` the model and a report.

    Raises:
        RequestError: when the weights cannot be read.
    """
    with reading(model, "weights cannot be read", "a model with whole safetensors"):
        return task_class(model.task).from_pretrained(
            source_of(model),
            config=config,
            revision=model.revision,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **options,
        )


def _read(
    model: ModelSection, config: PreTrainedConfig, **more: Any
) -> tuple[PreTrainedModel, tuple[str, ...], frozenset[str]]:
    """Return the task model, the parameters that the checkpoint lacks or has in another shape, and the latter alone."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    loaded, report = pretrained(model, config, output_loading_info=True, **more)
    mismatched = {entry[0] if isinstance(entry, tuple) else entry for entry in report["mismatched_keys"]}
    return loaded, tuple(sorted({*report["missing_keys"], *mismatched})), frozenset(mismatched)


def build(weights: BaseWeights, device: torch.device, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """Return the task model, whose parameters are views of the arrays, or copies on a GPU and in another type.

    No parameter requires a gradient. Nothing may write into them: on the CPU they are shared between processes.
    """
    with init_empty_weights(include_buffers=False):
        model = task_class(weights.task).from_config(weights.config, trust_remote_code=False)
    tensors = {}
    for name, array in weights.arrays.items():
        array_type: torch.dtype = getattr(torch, weights.types[name])
        tensor = _view(array)
        tensor = tensor.view(array_type) if array_type in _BITS else tensor
        wanted = dtype if dtype is not None and array_type.is_floating_point else array_type
        tensors[name] = tensor.to(device=device, dtype=wanted)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    model.to(device)
    model.requires_grad_(False)
    model.eval()
    model.name_or_path = weights.config.name_or_path
    return model


def _view(array: npt.NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        # torch warns of read-only arrays because it could write through them; `build` promises not to.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def copy_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model with its own modules around the same tensors, so that a trial changes nothing for the next."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied: PreTrainedModel = copy.deepcopy(model, tensors)
    return copied


def initialise_fresh(model: PreTrainedModel, fresh: tuple[str, ...], seed: int) -> None:
    """Give the parameters that the checkpoint lacks private initial values, drawn from `seed`.

    They are float32, because they train, and drawn on the CPU, so that they are the same on every device.
    """
    owners: dict[str, list[str]] = {}
    for name in fresh:
        module, _, leaf = name.rpartition(".")
        owners.setdefault(module, []).append(leaf)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module_name in sorted(owners):
            module = model.get_submodule(module_name)
            for leaf in owners[module_name]:
                empty = torch.empty(getattr(module, leaf).shape)
                setattr(module, leaf, nn.Parameter(empty, requires_grad=False))
            with torch.no_grad():
                model._init_weights(module)
            for leaf in owners[module_name]:
                drawn = getattr(module, leaf)
                drawn.data = drawn.data.to(model.device)
