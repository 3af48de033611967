"""The pretrained base: read once by the driver, shared read-only, and built from the shared arrays by each worker."""

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
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Task
from trainables.base_model.completeness import check_complete, check_numbers
from trainables.base_model.kept_head import KeptHead, kept_head, own_names
from trainables.base_model.model_files import (
    check_config,
    check_folder,
    check_types,
    read_tokenizer,
    reading,
    source_of,
)
from trainables.base_model.storageless import without_storage

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
    classes in the order of the logits. `notes` say what became of a head that the checkpoint has.
    """

    config: PreTrainedConfig
    task: Task
    arrays: Mapping[str, npt.NDArray[Any]]
    types: Mapping[str, str]
    fresh: tuple[str, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def model_class(config: PreTrainedConfig, task: Task) -> type[PreTrainedModel]:
    """The class of the architecture that has the head of `task`."""
    found = task_class(task)._model_mapping[type(config)]
    kind: type[PreTrainedModel] = found[0] if isinstance(found, tuple) else found
    return kind


def read_config(model: ModelSection, **settings: Any) -> PreTrainedConfig:
    """The model's config, with `settings` in place of its own.

    Raises:
        RequestError: when there is no such model, no safetensors in its folder, an adapter in it, quantised weights,
            or the task does not suit it.
    """
    check_folder(model)
    return config_alone(model, **settings)


def config_alone(model: ModelSection, **settings: Any) -> PreTrainedConfig:
    """As `read_config`, whatever else is in the model's folder.

    Raises:
        RequestError: when there is no such config, it is of quantised weights, or the task does not suit it.
    """
    with reading(model, "cannot be read", "a model folder or a hub id"):
        config = AutoConfig.from_pretrained(
            source_of(model), revision=model.revision, trust_remote_code=False, **settings
        )
    if type(config) not in task_class(model.task)._model_mapping:
        fitting = ", ".join(task for task in Task if type(config) in task_class(task)._model_mapping)
        raise RequestError(
            f"model.task = {model.task}: {config.model_type} has no such head; allowed: {fitting or 'another model'}"
        )
    check_config(model, config)
    return config


def load_config(model: ModelSection, labels: tuple[str, ...]) -> PreTrainedConfig:
    """The model's config with the task's labels, and for a head that looks for the last token what is padding.

    Raises:
        RequestError: as `read_config` does.
    """
    if model.task is Task.CAUSAL_LM:
        return read_config(model)
    if model.task is Task.REGRESSION:
        config = read_config(model, num_labels=1, problem_type="regression")
    else:
        config = read_config(
            model,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: position for position, label in enumerate(labels)},
            problem_type="single_label_classification",
        )
    if model.task is not Task.IMAGE_CLASSIFICATION:
        try:
            tokenizer = read_tokenizer(model, config)
        except RequestError:
            return config  # said when the texts are to be read
        tell_padding(model, config, tokenizer.pad_token_id)
    return config


def tell_padding(model: ModelSection, config: PreTrainedConfig, padding: int) -> None:
    """Let the config of a classifier name the token that texts are padded with: a decoder reads what is before it.

    An encoder is told by its mask; where its config names another token, that may count its positions, as RoBERTa's.
    A language model reads all tokens.

    Raises:
        RequestError: when no model can be made of the config.
    """
    text = config.get_text_config()
    if model.task is Task.CAUSAL_LM:
        return
    known = text.pad_token_id
    if known == padding:
        return
    if isinstance(known, int) and 0 <= known < text.vocab_size:
        with reading(model, "no model can be made of its config.json", "a whole config.json"):
            if not hasattr(without_storage(model_class(config, model.task), config), "score"):
                return
    config.pad_token_id = text.pad_token_id = padding


def load_weights(model: ModelSection, config: PreTrainedConfig, labels: tuple[str, ...]) -> SharedWeights:
    """Read the weights; parameters of the head that the checkpoint lacks get values, replaced by `build` per seed.

    Rows of a head that the checkpoint has are put in the order of `labels`, by the names that its config gives them.

    Raises:
        RequestError: when the weights cannot be read, or lack parts of the base.
    """
    loaded, fresh, mismatched = _read(model, config)
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
    return SharedWeights(config, model.task, arrays, types, fresh, labels, head.notes)


def fresh_parameters(model: ModelSection, config: PreTrainedConfig) -> tuple[str, ...]:
    """Names of the parameters that the checkpoint lacks, without reading a weight; of a hub's, only once it is here.

    Raises:
        RequestError: when the weights cannot be read, or lack parts of the base.
    """
    loaded, fresh = _read_without_weights(model, config)
    if loaded is not None:
        check_complete(model, loaded, fresh)
    return fresh


def own_dtype(model: ModelSection, config: PreTrainedConfig) -> torch.dtype | None:
    """The type of the checkpoint's weights, without reading one; None for a hub's that is not here."""
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


def _read(
    model: ModelSection, config: PreTrainedConfig, **more: Any
) -> tuple[PreTrainedModel, tuple[str, ...], frozenset[str]]:
    """The task model, the names of parameters that the checkpoint lacks, and which of these have another shape."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with reading(model, "weights cannot be read", "a model with whole safetensors"):
        loaded, report = task_class(model.task).from_pretrained(
            source_of(model),
            config=config,
            revision=model.revision,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **more,
        )
    mismatched = {entry[0] if isinstance(entry, tuple) else entry for entry in report["mismatched_keys"]}
    return loaded, tuple(sorted({*report["missing_keys"], *mismatched})), frozenset(mismatched)


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


def training_dtype(shared: SharedWeights, *, bf16: bool) -> torch.dtype | None:
    """The type in which trainings hold the base; None: as it comes.

    That is float32, or under bfloat16 autocast the base's own, if autocast brings it together with what it computes.
    """
    mixes = {"float32", "bfloat16"}
    comes = {name for name in shared.types.values() if getattr(torch, name).is_floating_point}
    return None if bf16 and comes <= mixes else torch.float32


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
