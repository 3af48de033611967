"""Runs a model without its weights: parameters on the meta device, integers real.

So a model of any size shows in moments whether it takes an input: shapes and types are checked as ever, and so is
whatever it decides by token ids, masks and positions. Only values that come of weights are not there.
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
    """A model of class `kind` whose parameters are on the meta device; its buffers are real."""
    with init_empty_weights(include_buffers=False):
        model = kind(copy.deepcopy(config))
    return model.float().requires_grad_(False)


class Ended(Exception):
    """A run was ended where it was to end."""


@dataclass(frozen=True)
class Lookup:
    """One use of an embedding: how many rows it has, and the largest row that was asked for."""

    rows: int
    largest: int


class Storageless(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is active, models of `without_storage` run on real integers; `lookups` are their uses of embeddings.

    Whatever meets a tensor of the meta device is moved there. Results that hold no fractions are computed for real
    even where the model asks for the meta device, for it asks for the device of its parameters.
    """

    def __init__(self, *, embeddings_alone: bool = False) -> None:
        """`embeddings_alone`: end at the first product of matrices, before which embeddings are used."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.lookups: list[Lookup] = []
        self.ended = False
        self._embeddings_alone = embeddings_alone

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation.

        Raises:
            IndexError: an embedding is asked for a row that it does not have.
            Ended: it is a product of matrices, and embeddings alone were asked for.
        """
        kwargs = kwargs or {}
        devices = {one.device for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        if func is torch.ops.aten.embedding.default and args[1].device != _META:
            self._look_up(rows=len(args[0]), indices=args[1])
        if self._embeddings_alone and func in _PRODUCTS:
            self.ended = True
            raise Ended
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
    """Masks as the positions that they choose, whose number no mask on the meta device could tell."""
    found: list[Tensor | None] = []
    for one in indices:
        real_mask = one is not None and one.dtype is torch.bool and one.device != _META
        found.extend(one.nonzero(as_tuple=True) if one is not None and real_mask else [one])
    return found
