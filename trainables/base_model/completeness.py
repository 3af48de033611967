"""Checks that a checkpoint holds the whole base that its config describes: missing weights would be drawn at random."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn
from transformers import PreTrainedModel

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection
from trainables.base_model.quantization import is_quantised


def check_complete(model: ModelSection, loaded: PreTrainedModel, fresh: Collection[str]) -> None:
    """Refuse a checkpoint without parts of the base. The task head and a pooler may be missing.

    Args:
        model: where the checkpoint is.
        loaded: the task model, on any device.
        fresh: names of its parameters that the checkpoint lacks or has in another shape. A tied weight is missing only
            if it is listed under all of its names.

    Raises:
        RequestError: naming one of the missing parameters.
    """
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in loaded.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    missing = [every[0] for every in names.values() if set(every) <= set(fresh) and _is_base(loaded, every[0])]
    if missing:
        raise RequestError(
            f"model.path = {model.path}: {len(missing)} weights of the base are missing or have another shape, such as "
            f"{missing[0]}; allowed: a model folder whose weights fit its config.json"
        )


_TYPES = {torch.float32, torch.float16, torch.bfloat16, torch.float64}


def check_numbers(model: ModelSection, loaded: PreTrainedModel) -> None:
    """Refuse weights that are not finite numbers of the usual types.

    Raises:
        RequestError: naming one of the parameters.
    """
    for name, parameter in loaded.named_parameters():
        if is_quantised(loaded.get_submodule(name.rpartition(".")[0])) and not name.endswith(".bias"):
            continue
        if parameter.is_meta or parameter.dtype not in _TYPES:
            kind = "of another model" if parameter.is_meta else str(parameter.dtype).removeprefix("torch.")
            raise RequestError(
                f"model.path = {model.path}: its weights are {kind}, such as {name}; allowed: weights in float32, "
                "float16, bfloat16 or float64"
            )
        # One pass and no copy shows by the sum that all are finite. A sum that is not may only have overflowed.
        if not torch.isfinite(parameter.detach().sum(dtype=torch.float64)):
            if torch.isfinite(parameter.detach()).all():
                continue
            raise RequestError(
                f"model.path = {model.path}: its weights are not all numbers, such as those of {name}; allowed: finite "
                "weights"
            )


def _is_base(model: PreTrainedModel, name: str) -> bool:
    """Return whether a parameter is pretrained: inside the blocks, an embedding, or the output of a language model.

    A linear layer outside the blocks is a pooler or similar, which trains with the task head.
    """
    parts = name.split(".")
    module = model.get_submodule(".".join(parts[:-1]))
    if module is model.get_output_embeddings():
        return True
    if "pooler" in parts or not any(module is one for one in model.base_model.modules()):
        return False
    return any(part.isdigit() for part in parts) or not isinstance(module, nn.Linear)
