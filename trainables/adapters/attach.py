"""Puts an adapter on a task model, and names the parameters that train."""

from __future__ import annotations

import copy

import torch
from peft import PeftModel, TaskType, get_peft_model
from peft.tuners.ln_tuning.layer import LNTuningLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)

from spaces.errors import RequestError
from spaces.methods.base.method import Configuration
from spaces.model.inventory import Inventory
from trainables.base_model.inventory import inside
from trainables.methods.registry import adapters
from trainables.tuners.float32_modules import compute_in_float32, keep_type, restore_types


def base_name(model: nn.Module, name: str) -> str:
    """Return the base's name of the module or parameter `name` of `model`. A prompt adapter has no tuner in between."""
    if not isinstance(model, PeftModel):
        return name
    return name.removeprefix("base_model." if model.active_peft_config.is_prompt_learning else "base_model.model.")


def attach(
    model: PreTrainedModel, method: str, configuration: Configuration, inventory: Inventory, seed: int
) -> PeftModel:
    """Wrap `model` in place with the adapter of `configuration`; then the adapter and the head train.

    The model's tensors may be shared between processes and are never written, neither by training, evaluation and
    saving nor by `merged`: parameters that train, the head's included, are private copies, and a tuner that writes into
    weights makes them private first. What trains is float32, whatever the base's type. The same `seed` gives the same
    adapter.
    """
    dtype = model.dtype
    config = adapters()[method].peft_config(configuration, inventory, seed)
    config.task_type = _task_type(model)
    config.modules_to_save = [*inventory.head_modules, *inventory.saved_modules] or None
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted = get_peft_model(model, config)
        adapters()[method].initialise(adapted, configuration)
    for path, parameter in adapted.named_parameters():
        if ".ranknum." in path:  # AdaLoRA's ranks, which PEFT makes parameters that train when it casts them
            parameter.requires_grad_(False)
    for module in adapted.modules():
        if isinstance(module, ModulesToSaveWrapper | LNTuningLayer):
            copies = module.modules_to_save if isinstance(module, ModulesToSaveWrapper) else module.ln_tuning_layers
            for copied in copies.values():
                compute_in_float32(copied, dtype)
    keep_type(adapted, dtype)
    return adapted


def head_only(model: PreTrainedModel, inventory: Inventory) -> PreTrainedModel:
    """Make only the task head of `model` train, as a private float32 copy, in place. A language model has none."""
    dtype = model.dtype
    model.requires_grad_(False)
    for name in inventory.head_modules:
        parent, _, child = name.rpartition(".")
        head = copy.deepcopy(model.get_submodule(name)).requires_grad_(True)
        compute_in_float32(head, dtype)
        setattr(model.get_submodule(parent), child, head)
    return model


def merged(model: PeftModel) -> PreTrainedModel:
    """Return the plain model with the adapter in its weights, in the base's type; `model` is used up.

    PEFT's own tuners merge in place, so the tensors that they merge into are made private first. Tied ones stay tied.

    Raises:
        RequestError: when the adapter does not change weights.
    """
    if model.active_peft_config.is_prompt_learning:
        kind = model.active_peft_config.peft_type.value.lower().replace("_", "-")
        raise RequestError(f"{kind} cannot be merged: it has no change of weights; allowed: the adapter as it is")
    private: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        if isinstance(module, BaseTunerLayer) and type(module).__module__.startswith("peft."):
            layer = module.get_base_layer()
            for name, parameter in layer.named_parameters(recurse=False):
                if parameter not in private:
                    private[parameter] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
                setattr(layer, name, private[parameter])
    # PEFT's own tuners fail on heads of several layers, or leave them wrapped.
    base = model.get_base_model()
    for name, module in list(base.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, child = name.rpartition(".")
            setattr(base.get_submodule(parent), child, module.modules_to_save[model.active_adapter])
    plain: PreTrainedModel = model.merge_and_unload()
    restore_types(plain)
    return plain


Parameters = dict[str, nn.Parameter]


def trained_parameters(model: nn.Module, inventory: Inventory) -> tuple[Parameters, Parameters]:
    """Return the parameters that train after `attach` or `head_only`, by name: the adapter's and the head's."""
    adapter: Parameters = {}
    head: Parameters = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_head = inside(base_name(model, name), inventory.head_modules)
            (head if in_head else adapter)[name] = parameter
    return adapter, head


def _task_type(model: PreTrainedModel) -> TaskType | None:
    name = type(model).__name__
    if name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
        return TaskType.CAUSAL_LM
    if name in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.values():
        return TaskType.SEQ_2_SEQ_LM
    if name in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.values():
        return TaskType.SEQ_CLS
    if name in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES.values():
        return TaskType.TOKEN_CLS
    return None  # PEFT has no type for image classification
