"""Runs a model without its weights: parameters on the meta device, integers real.

So a model of any size shows in moments whether it takes an input: shapes and types are checked as always, and so is
everything that it decides by token ids, masks and positions. Only values that depend on weights do not exist.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from transformers import PreTrainedConfig, PreTrainedModel

_PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default}
_META = torch.device("meta")
_CPU = torch.device("cpu")


def without_storage(kind: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    """Return a model of class `kind` with its parameters on the meta device and real buffers."""
    with init_empty_weights(include_buffers=False):
        model = kind(copy.deepcopy(config))
    return model.float().requires_grad_(False)


class EmbeddingsReached(Exception):
    """Ends a run at the point where it was asked to end."""


@dataclass(frozen=True)
class Lookup:
    """One use of an embedding: its number of rows, and the largest row that was asked for."""

    rows: int
    largest: int


class Storageless(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode in which models of `without_storage` run on real integers; `lookups` are their uses of embeddings.

    Everything that meets a tensor of the meta device is moved there. Integer results are computed for real even if the
    model asks for the meta device, because it asks for the device of its parameters.
    """

    def __init__(self, *, embeddings_alone: bool = False) -> None:
        """Record nothing yet.

        Args:
            embeddings_alone: end at the first product of matrices; embeddings are used before it.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.lookups: list[Lookup] = []
        self.ended = False
        self._embeddings_alone = embeddings_alone

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation.

        Raises:
            IndexError: when an embedding is asked for a row that it does not have.
            EmbeddingsReached: at a product of matrices, when only embeddings were asked for.
        """
        kwargs = kwargs or {}
        devices = {one.device for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        if func is torch.ops.aten.embedding.default and args[1].device != _META:
            self._look_up(rows=len(args[0]), indices=args[1])
        if self._embeddings_alone and func in _PRODUCTS:
            self.ended = True
            raise EmbeddingsReached
        if kwargs.get("device") == _META and _META not in devices:
            result = func(*args, **kwargs)
            whole = isinstance(result, Tensor) and not result.is_floating_point()
            return func(*args, **{**kwargs, "device": _CPU}) if whole else result
        if _META in devices and len(devices) > 1:
            if func is torch.ops.aten.index.Tensor:
                args = (args[0], _as_positions(args[1]))
            args, kwargs = tree_map_only(Tensor, lambda one: one.to(_META), (args, kwargs))
        return func(*args, **kwargs)

    def _look_up(self, rows: int, indices: Tensor) -> None:
        if not indices.numel():
            return
        largest = int(indices.max())
        self.lookups.append(Lookup(rows, largest))
        if largest >= rows:
            raise IndexError(f"index {largest} in an embedding of {rows:,} rows")


def _as_positions(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return masks as the positions that they select, because a mask on the meta device does not know how many."""
    found: list[Tensor | None] = []
    for one in indices:
        real_mask = one is not None and one.dtype is torch.bool and one.device != _META
        found.extend(one.nonzero(as_tuple=True) if one is not None and real_mask else [one])
    return found
