"""Gradient checkpointing: blocks keep their input alone, and are computed again for the gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import nn
from transformers import PreTrainedConfig

from spaces.errors import RequestError
from spaces.spec.sections import Task
from trainables.base_model.config import model_class

_WITH_A_CACHE = "prefix-tuning"


def check_checkpointing(
    wanted: bool | Literal["auto"], config: PreTrainedConfig, task: Task, methods: Iterable[str]
) -> None:
    """Check that a model and methods can be trained with gradient checkpointing if the spec asks for it.

    Raises:
        RequestError: naming the model or the method that cannot.
    """
    if wanted is not True:
        return
    if not model_class(config, task).supports_gradient_checkpointing:
        raise RequestError(
            f"training.gradient_checkpointing = true: {config.model_type} does not support it; allowed: auto, false"
        )
    if _WITH_A_CACHE in methods:
        raise RequestError(
            f"training.gradient_checkpointing = true: {_WITH_A_CACHE} puts its vectors into the cache of keys and "
            "values, which blocks that are computed twice cannot have; allowed: auto, false, or other methods"
        )


def checkpoint_blocks(model: nn.Module, wanted: bool | Literal["auto"]) -> None:
    """Turn gradient checkpointing on in a model that is to be trained, if it is wanted; `auto` is off."""
    if wanted is True:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
