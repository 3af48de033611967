"""The token ids of the batch that is passing through a model, available to layers inside it."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

PADDING = -1


class InputIds:
    """The ids of the current forward of one module that takes `input_ids`.

    A module around a transformer block reads them in the model's forward, never in a recomputation: gradient
    checkpointing starts inside the block.
    """

    def __init__(self) -> None:
        self._ids: Tensor | None = None
        self._handles: list[RemovableHandle] = []

    def follow(self, reader: nn.Module) -> None:
        """Record the ids of every forward of `reader` from now on."""
        self._handles = [
            reader.register_forward_pre_hook(self._enter, with_kwargs=True),
            reader.register_forward_hook(self._leave, always_call=True),
        ]

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __call__(self) -> Tensor:
        """Return the ids of the current forward, shape (batch, tokens), with `PADDING` where a 2-D mask is 0.

        Raises:
            ValueError: outside a forward, or when the model was given embeddings in place of ids.
        """
        if self._ids is None:
            raise ValueError("the adapter needs input_ids: the model was called with embeddings alone")
        return self._ids

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
        given = {**given, **given.get("kwargs", {})}
        ids, mask = given.get("input_ids"), given.get("attention_mask")
        if ids is not None and isinstance(mask, Tensor) and mask.dim() == 2:
            # With a cache the mask also covers the tokens before these.
            ids = torch.where(mask[:, -ids.shape[1] :].bool(), ids, PADDING)
        self._ids = ids

    def _leave(self, *_: Any) -> None:
        self._ids = None


def reader_around(model: nn.Module, name: str) -> str:
    """Return the name of the innermost module around `name` whose forward takes `input_ids`; "" is the model itself.

    Raises:
        ValueError: when there is none.
    """
    while name:
        name = name.rpartition(".")[0]
        if "input_ids" in inspect.signature(model.get_submodule(name).forward).parameters:
            return name
    raise ValueError(f"{type(model).__name__} takes no input_ids")
