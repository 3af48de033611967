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
from spaces.model.inventory import BaseParameter, Inventory, LinearLayer, Role, TextInput
from spaces.spec.sections import Task
from trainables.base_model.architectures import kind_of
from trainables.base_model.config import task_class
from trainables.base_model.positions import longest_input

_BLOCK = re.compile(r"(.*?\.\d+)\.(.+)")  # the first numbered part of a path ends the name of its block

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


def inventory_of(model: PreTrainedModel, fresh: Collection[str] = ()) -> Inventory:
    """Return the layers and parameters that `model` offers to adapters.

    Args:
        model: a task model on any device. Its head is everything outside `model.base_model`, but the output embedding
            of a language model belongs to the pretrained base. Tied weights count once.
        fresh: names of parameters that the checkpoint lacks, such as those of an untrained pooler. The modules that own
            them belong to the head.

    Raises:
        RequestError: when the model has no linear layer in a block, or one of unknown kind.
    """
    heads = head_modules(model, frozenset(fresh))
    layers = tuple(_linear_layers(model, heads))
    if not layers:
        raise RequestError(
            f"model.path = {model.config.name_or_path}: {model.config.model_type} has no linear layer to adapt; "
            "allowed: transformers"
        )
    total = sum(parameter.numel() for parameter in model.parameters())
    head = {parameter for name in heads for parameter in model.get_submodule(name).parameters()}
    head_parameters = sum(parameter.numel() for parameter in head)
    return Inventory(
        model_type=model.config.model_type,
        layers=layers,
        base_parameters=total - head_parameters,
        head_parameters=head_parameters,
        head_modules=heads,
        parameters=tuple(_parameters(model, heads, layers)),
        text=_text_input(model, heads),
    )


def head_modules(model: PreTrainedModel, fresh: frozenset[str]) -> tuple[str, ...]:
    """Return the names of the modules that are the task head, with those that own one of the `fresh` parameters."""
    heads = []
    if model.get_output_embeddings() is None and model.base_model is not model:
        heads = [
            name
            for name, module in model.named_children()
            if module is not model.base_model and any(True for _ in module.parameters())
        ]
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    # A tied weight is missing under all but one of its names.
    untrained = [every[0] for every in names.values() if fresh.issuperset(every)]
    owners = dict.fromkeys(name.rpartition(".")[0] for name in untrained)
    return (*heads, *(owner for owner in owners if not inside(owner, heads)))


def inside(name: str, modules: Collection[str]) -> bool:
    """Return whether `name` is one of `modules` or lies inside one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _linear_layers(model: PreTrainedModel, heads: Collection[str]) -> Iterator[LinearLayer]:
    blocks: dict[str, int] = {}
    for name, module in model.named_modules():
        in_block = _BLOCK.fullmatch(name)
        if in_block is None or not isinstance(module, nn.Linear | Conv1D) or inside(name, heads):
            continue
        block, path = in_block.groups()
        transposed = isinstance(module, Conv1D)
        rows, columns = module.weight.shape
        out_features, in_features = (columns, rows) if transposed else (rows, columns)
        yield LinearLayer(
            name=name,
            kind=kind_of(path, name, model.config),
            block=blocks.setdefault(block, len(blocks)),
            out_features=out_features,
            in_features=in_features,
            transposed=transposed,
        )


def _parameters(
    model: PreTrainedModel, heads: Collection[str], layers: Collection[LinearLayer]
) -> Iterator[BaseParameter]:
    weights = {layer.name: layer.block for layer in layers}
    blocks = {match.group(1): block for name, block in weights.items() if (match := _BLOCK.fullmatch(name))}
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
        elif leaf == "bias":
            role = "bias"
        elif owner in weights:
            role = "weight"
        yield BaseParameter(name, tuple(parameter.shape), role, blocks.get(in_block.group(1)) if in_block else None)


def _text_input(model: PreTrainedModel, heads: Collection[str]) -> TextInput | None:
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
        key_value_heads=getattr(config, "num_key_value_heads", None)
        or getattr(config, "num_attention_heads", None)
        or 0,
        takes_embeddings="inputs_embeds" in inputs and finds_last_token and not config.is_encoder_decoder,
        takes_cache="past_key_values" in inputs
        and getattr(config, "is_decoder", None) is not False
        and not config.is_encoder_decoder,
    )
