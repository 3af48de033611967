"""The pretrained base: read once by the driver, put into shared memory, and rebuilt around it by each worker."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Quantization, Task
from trainables.base_model.completeness import check_complete, check_numbers
from trainables.base_model.config import model_class, read_config, task_class
from trainables.base_model.kept_head import KeptHead, kept_head, own_names
from trainables.base_model.model_files import check_types, reading, source_of
from trainables.base_model.quantization import (
    check_installed,
    is_quantised,
    kept_layers,
    quantization_settings,
    replace_layers,
    set_weight,
    settle,
    shared_states,
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
        quantization: of the base.
        quantised: names of the layers whose weights are quantised.
    """

    config: PreTrainedConfig
    task: Task
    arrays: Mapping[str, npt.NDArray[Any]]
    types: Mapping[str, str]
    fresh: tuple[str, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    quantization: Quantization | None = None
    quantised: tuple[str, ...] = ()


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
    quantised = tuple(name for name, module in loaded.named_modules() if is_quantised(module))
    return BaseWeights(config, model.task, arrays, types, fresh, labels, head.notes, model.quantization, quantised)


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
        loaded, fresh, _ = _read(_unquantised(model), config, device_map="meta", local_files_only=True)
    except RequestError:
        if not os.path.isdir(source_of(model)):
            return None, ()
        raise
    return loaded, fresh


def _unquantised(model: ModelSection) -> ModelSection:
    return model.model_copy(update={"quantization": None})


def pretrained(model: ModelSection, config: PreTrainedConfig, **options: Any) -> Any:
    """Load the task model with `from_pretrained`, from safetensors, without running code of the checkpoint.

    A base that is to be quantised is, on the CPU, as it is read.

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
    quantised = model.quantization is not None
    if quantised:
        options |= _quantising(model, config, options.get("dtype"))
    with reading(model, "weights cannot be read", "a model with whole safetensors"):
        result = task_class(model.task).from_pretrained(
            source_of(model),
            config=config,
            revision=model.revision,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **options,
        )
    if quantised:
        settle(result[0] if isinstance(result, tuple) else result)
    return result


def _quantising(model: ModelSection, config: PreTrainedConfig, dtype: torch.dtype | None) -> dict[str, Any]:
    """Return the options of `from_pretrained` that quantise; `dtype` is that of the rest, None the checkpoint's own."""
    assert model.quantization is not None
    check_installed(model)
    settings = quantization_settings(model.quantization, left_alone(model, config))
    if model.quantization == "nf4" and dtype is not None:
        settings["bnb_4bit_compute_dtype"] = dtype
    return {"quantization_config": BitsAndBytesConfig(**settings), "device_map": {"": "cpu"}}


def left_alone(model: ModelSection, config: PreTrainedConfig) -> list[str]:
    """Return the linear layers of a model that are not quantised.

    Raises:
        RequestError: when the weights cannot be read, or its layers cannot be quantised.
    """
    empty, fresh, _ = _read(_unquantised(model), config, device_map="meta")
    assert model.quantization is not None
    return kept_layers(empty, fresh, model.quantization)


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
    if weights.quantization is not None:
        replace_layers(model, weights.quantization, weights.quantised)
    tensors: dict[str, torch.Tensor] = {}
    of_layers: dict[str, dict[str, torch.Tensor]] = {name: {} for name in weights.quantised}
    for name, array in weights.arrays.items():
        array_type: torch.dtype = getattr(torch, weights.types[name])
        tensor = _view(array)
        tensor = tensor.view(array_type) if array_type in _BITS else tensor
        layer = _layer_of(name, of_layers)
        if layer is not None:
            of_layers[layer][name.removeprefix(f"{layer}.")] = tensor
            continue
        wanted = dtype if dtype is not None and array_type.is_floating_point else array_type
        tensors[name] = tensor.to(device=device, dtype=wanted)
    for layer, own in of_layers.items():
        set_weight(model.get_submodule(layer), own, device)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device))
    if weights.quantization is not None:
        settle(model)
    model.requires_grad_(False)
    model.eval()
    model.name_or_path = weights.config.name_or_path
    return model


def _layer_of(name: str, layers: Container[str]) -> str | None:
    """Return the one of the quantised `layers` whose weight, or a part of it, has that name."""
    owner = name
    while owner and owner not in layers:
        owner = owner.rpartition(".")[0]
    return owner if owner and name != f"{owner}.bias" else None


def _view(array: npt.NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        # torch warns of read-only arrays because it could write through them; `build` promises not to.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def copy_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model with its own modules around the same tensors, so that a trial changes nothing for the next."""
    tensors = {id(one): one for one in (*model.parameters(), *model.buffers(), *shared_states(model))}
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
