"""Builds the layer inventory of a model; a model on the meta device is enough."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from itertools import chain

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from spaces.errors import RequestError
from spaces.model.inventory import BaseParameter, Inventory, LinearLayer, OtherModule, Role, TextInput
from spaces.spec.sections import Task
from trainables.base_model.architectures import kind_of
from trainables.base_model.config import task_class
from trainables.base_model.positions import longest_input

_BLOCK = re.compile(r"(.*?\.\d+)\.(.+)")  # the first numbered part of a path ends the name of its block

_OUTSIDE = "outside of the blocks"
_MAMBA = {"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"}
_BYPASSED = tuple(f"mixer.{name}" for name in ("x_proj", "dt_proj", "out_proj", "conv1d.bias", "dt_proj.bias"))

# Configs of BERT name no separating tokens. Its uncased English vocabulary has [CLS] and [SEP] at 101 and 102.
_BERT_TYPES, _UNCASED_VOCABULARY = {"bert", "distilbert"}, 30_522
_CLS_AND_SEP: set[int | None] = {101, 102}


def meta_model(config: PreTrainedConfig, task: Task) -> PreTrainedModel:
    """Return the model of `task` without storage: shapes and names alone. Its head has the size that the config says.

    Raises:
        RequestError: when the architecture has no model for the task.
    """
    auto = task_class(task)
    if type(config) not in auto._model_mapping:
        fitting = ", ".join(one for one in Task if type(config) in task_class(one)._model_mapping)
        raise RequestError(
            f"model.task = {task}: {config.model_type} has no model for it; allowed: {fitting or 'another model'}"
        )
    with torch.device("meta"):
        model: PreTrainedModel = auto.from_config(config, trust_remote_code=False)
    return model


def inventory_of(model: PreTrainedModel, fresh: Collection[str] = (), saved: Collection[str] = ()) -> Inventory:
    """Return the layers and parameters that `model` offers to adapters.

    Args:
        model: a task model on any device. Its head is everything outside `model.base_model`, but the output embedding
            of a language model belongs to the pretrained base. Tied weights count once.
        fresh: names of parameters that the checkpoint lacks, such as those of an untrained pooler. The modules that own
            them belong to the head.
        saved: full names of modules that train whole beside every adapter, and are offered to none.
    """
    heads = head_modules(model, frozenset(fresh))
    every = tuple(_linear_layers(model, heads))
    layers = tuple(layer for layer in every if not inside(layer.name, saved))
    parameters = tuple(_parameters(model, heads, every))
    total = sum(parameter.numel() for parameter in model.parameters())
    head = {parameter for name in heads for parameter in model.get_submodule(name).parameters()}
    head_parameters = sum(parameter.numel() for parameter in head)
    return Inventory(
        model_type=model.config.model_type,
        layers=layers,
        base_parameters=total - head_parameters,
        head_parameters=head_parameters,
        head_modules=heads,
        parameters=tuple(one for one in parameters if not inside(one.name, saved)),
        text=_text_input(model, heads),
        others=tuple(_others(model, heads, layers, saved)),
        saved_modules=tuple(saved),
        saved_parameters=tuple(one for one in parameters if inside(one.name, saved)),
    )


def head_modules(model: PreTrainedModel, fresh: frozenset[str]) -> tuple[str, ...]:
    """Return the names of the modules that are the task head, with those that own one of the `fresh` parameters."""
    heads = []
    if model.get_output_embeddings() is None:
        heads = [
            name
            for name, module in model.named_children()
            if not _is_base(module, model) and any(True for _ in module.parameters())
        ]
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    # A tied weight is missing under all but one of its names.
    untrained = [every[0] for every in names.values() if fresh.issuperset(every)]
    owners = dict.fromkeys(name.rpartition(".")[0] for name in untrained)
    return (*heads, *(owner for owner in owners if not inside(owner, heads)))


def _is_base(module: nn.Module, model: PreTrainedModel) -> bool:
    """Return whether a child of `model` is its base; SigLIP's and CLIP's classifiers do not name theirs."""
    return module is model.base_model if model.base_model is not model else isinstance(module, PreTrainedModel)


def inside(name: str, modules: Collection[str]) -> bool:
    """Return whether `name` is one of `modules` or lies inside one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _linear_layers(model: PreTrainedModel, heads: Collection[str]) -> Iterator[LinearLayer]:
    blocks: dict[str, int] = {}
    for name, module in model.named_modules():
        in_block = _BLOCK.fullmatch(name)
        if in_block is None or not isinstance(module, nn.Linear | Conv1D) or inside(name, heads):
            continue
        if _is_bypassed(model, name):
            continue
        block, path = in_block.groups()
        transposed = isinstance(module, Conv1D)
        rows, columns = module.weight.shape
        out_features, in_features = (columns, rows) if transposed else (rows, columns)
        yield LinearLayer(
            name=name,
            kind=kind_of(path),
            block=blocks.setdefault(block, len(blocks)),
            out_features=out_features,
            in_features=in_features,
            transposed=transposed,
        )


def _is_bypassed(model: PreTrainedModel, name: str) -> bool:
    """Return whether a layer or a bias is read without the forward of its module, at least while training."""
    return model.config.model_type in _MAMBA and name.endswith(_BYPASSED)


def _others(
    model: PreTrainedModel, heads: Collection[str], layers: Collection[LinearLayer], saved: Collection[str]
) -> Iterator[OtherModule]:
    """Yield the modules of the base that own parameters and are no adaptable layer, and tensors with many layers."""
    adaptable = {layer.name for layer in layers}
    embedding = model.get_output_embeddings()
    for name, module in model.named_modules():
        owns = any(True for _ in module.parameters(recurse=False))
        if not owns or name in adaptable or not name or inside(name, heads):
            continue
        reason = f"a {type(module).__name__}"
        if inside(name, saved):
            reason = "trained whole by model.modules_to_save"
        elif module is embedding:
            reason = "the output layer of the language model"
        elif _is_bypassed(model, name):
            reason = "read by a kernel of its block, which would pass an adapter by,"
        elif isinstance(module, nn.Linear | Conv1D):
            reason = _OUTSIDE
        yield OtherModule(name, reason, passed_over=reason == _OUTSIDE)
        if not hasattr(module, "weight"):
            # Experts hold the weights of many layers in one tensor.
            for own, _ in module.named_parameters(recurse=False):
                yield OtherModule(f"{name}.{own}", f"a tensor of {type(module).__name__}", passed_over=True)


def _parameters(
    model: PreTrainedModel, heads: Collection[str], layers: Collection[LinearLayer]
) -> Iterator[BaseParameter]:
    weights = {layer.name: layer.block for layer in layers}
    blocks = {match.group(1): block for name, block in weights.items() if (match := _BLOCK.fullmatch(name))}
    if not blocks:  # a model of convolutions
        named = (_BLOCK.fullmatch(name) for name, _ in model.named_parameters() if not inside(name, heads))
        names = dict.fromkeys(match.group(1) for match in named if match)
        blocks = {name: number for number, name in enumerate(names)}
    for name, parameter in model.named_parameters():
        if inside(name, heads):
            continue
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        in_block = _BLOCK.fullmatch(name)
        role: Role = "other"
        if isinstance(module, nn.Embedding):
            role = "embedding"
        elif "norm" in type(module).__name__.lower():
            role = "norm"
        elif leaf == "bias" and not _is_bypassed(model, name):
            role = "bias"
        elif owner in weights:
            role = "weight"
        yield BaseParameter(name, tuple(parameter.shape), role, blocks.get(in_block.group(1)) if in_block else None)


def _key_value_heads(config: PreTrainedConfig) -> int:
    """Return the heads of the keys and values; 0 if the config does not say."""
    heads = getattr(config, "num_attention_heads", None) or 0
    if config.model_type == "falcon":
        one = config.multi_query and not config.new_decoder_architecture
        return 1 if one else int(config.num_kv_heads)
    return int(getattr(config, "num_key_value_heads", None) or heads)


def _key_features(config: PreTrainedConfig) -> int:
    """Return the features of the keys of one block, of all heads together; 0 if the config does not say."""
    heads = getattr(config, "num_attention_heads", None) or 0
    width = getattr(config, "head_dim", None) or (getattr(config, "hidden_size", 0) // heads if heads else 0)
    return int(width) * _key_value_heads(config)


def _text_input(model: PreTrainedModel, heads: Collection[str]) -> TextInput | None:
    if model.main_input_name != "input_ids":
        return None
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding):
        return None
    config = model.config.get_text_config()
    names = (f"{name}_token_id" for name in ("bos", "eos", "cls", "sep", "mask", "decoder_start"))
    # Llama 3.1 has a list of end tokens.
    named = [one if isinstance(one, list) else [one] for one in (getattr(config, name, None) for name in names)]
    special: set[int | None] = set(chain.from_iterable(named)) - {None, config.pad_token_id}
    if not special and config.model_type in _BERT_TYPES and embedding.num_embeddings == _UNCASED_VOCABULARY:
        special = _CLS_AND_SEP
    inputs = inspect.signature(model.forward).parameters
    # Decoders classify the last token, under a head called score; without ids they cannot tell it from padding.
    finds_last_token = "score" not in heads
    output = model.get_output_embeddings()
    return TextInput(
        embedding=next(name for name, module in model.named_modules() if module is embedding),
        vocabulary=embedding.num_embeddings,
        width=embedding.embedding_dim,
        tied=output is not None and output.weight is embedding.weight,
        special_tokens=tuple(sorted(one for one in special if isinstance(one, int))),
        positions=longest_input(type(model), model.config),
        key_value_heads=_key_value_heads(config),
        key_features=_key_features(config),
        takes_embeddings="inputs_embeds" in inputs and finds_last_token and not config.is_encoder_decoder,
        takes_cache="past_key_values" in inputs
        and getattr(config, "is_decoder", None) is not False
        and not config.is_encoder_decoder,
    )
