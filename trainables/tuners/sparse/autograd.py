"""Autograd functions that give gradients of some entries of parameters, without a lasting dense gradient."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from trainables.tuners.sparse.entry_gradients import Entries


class Piece(NamedTuple):
    """Trained values of one parameter: its name in the module, their places (None: everywhere), and the deltas."""

    name: str
    entries: Entries | None
    delta: Tensor


Gradients = tuple[Tensor | None, ...]


class SparseProduct(torch.autograd.Function):
    """A linear layer whose parameters already hold the deltas; backward gives gradients of x and of the deltas.

    A dense gradient exists only while the deltas' gradients are gathered from it, and is not computed when another way
    is cheaper.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        layer: nn.Module,
        transposed: bool,
        names: tuple[str, ...],
        entries: tuple[Entries | None, ...],
        *deltas: Tensor,
    ) -> Tensor:
        """Apply `layer` to x of shape (…, in).

        Args:
            ctx: autograd's.
            x: the input.
            layer: holds the weight with the deltas in it, (out, in), or (in, out) if `transposed`, and the bias (out,).
            transposed: how the weight is stored.
            names: for each of `deltas`, `weight` or `bias`.
            entries: for each of `deltas`, the places of its values; None: all of the parameter.
            deltas: trained values, shape (k,). They add nothing to the output but receive gradients.
        """
        out: Tensor = layer(x)
        # Under autocast the output has the narrower type, and so will its gradient.
        ctx.save_for_backward(x.to(out.dtype) if "weight" in names else None, layer.weight)
        ctx.transposed, ctx.names, ctx.entries, ctx.input_type = transposed, names, entries, x.dtype
        ctx.delta_types = tuple(delta.dtype for delta in deltas)
        # The product may be a view of a flat one. DeBERTa changes outputs in place, which autograd does not allow for a
        # view that a function of ours made.
        unviewed: Tensor = torch.ops.aten._unsafe_view(out, out.shape)
        return unviewed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        """Return the gradients of x and of each delta."""
        x, weight = ctx.saved_tensors
        to_x: Tensor | None = None
        if ctx.needs_input_grad[0]:
            matrix = weight.to(gradient.dtype)
            to_x = (gradient @ (matrix.T if ctx.transposed else matrix)).to(ctx.input_type)
        to_deltas: list[Tensor | None] = [None] * len(ctx.names)
        outer = gradient.reshape(-1, gradient.shape[-1])
        dense: Tensor | None = None
        for number, (name, entries) in enumerate(zip(ctx.names, ctx.entries, strict=True)):
            if not ctx.needs_input_grad[5 + number]:
                continue
            if name == "bias":
                found = outer.sum(0) if entries is None else entries.of(outer.sum(0))
            else:
                inner = x.reshape(-1, x.shape[-1])
                left, right = (inner, outer) if ctx.transposed else (outer, inner)
                if entries is not None and (way := entries.way(len(left))) != "dense":
                    found = entries.product(left, right, way)
                else:
                    dense = left.T @ right if dense is None else dense
                    found = dense.reshape(-1) if entries is None else entries.of(dense)
            to_deltas[number] = found.to(ctx.delta_types[number])
        return to_x, None, None, None, None, *to_deltas


class SparseLookup(torch.autograd.Function):
    """An embedding whose table already holds the deltas; backward gives the gradients of the deltas alone.

    The gradient is computed for the rows that were looked up, not for the whole table.
    """

    @staticmethod
    def forward(ctx: Any, ids: Tensor, module: nn.Embedding, entries: tuple[Entries, ...], *deltas: Tensor) -> Tensor:
        """Apply `module`, which may scale its rows, to ids of any shape."""
        out: Tensor = module(ids)
        ctx.save_for_backward(ids)
        ctx.module, ctx.entries = module, entries
        ctx.delta_types = tuple(delta.dtype for delta in deltas)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        """Return the gradients of each delta."""
        (ids,) = ctx.saved_tensors
        rows, of_rows = _rows_gradient(ctx.module, ids, gradient)
        to_deltas = []
        for entries, delta_type in zip(ctx.entries, ctx.delta_types, strict=True):
            wanted = entries.rows().long()
            where = torch.searchsorted(rows, wanted).clamp_(max=max(0, len(rows) - 1))
            found = of_rows[where, entries.columns()] if len(rows) else of_rows.new_zeros(len(wanted))
            there = rows[where] == wanted if len(rows) else torch.zeros_like(wanted, dtype=torch.bool)
            to_deltas.append(torch.where(there, found, 0).to(delta_type))
        return None, None, None, *to_deltas


def _rows_gradient(module: nn.Embedding, ids: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows that were looked up, ascending, and their gradients (rows, width), as the module gives them."""
    rows, where = torch.unique(ids, return_inverse=True)
    small = copy.copy(module)  # with the same table; in the small one the padding index would name another row
    small.padding_idx = None
    with torch.enable_grad():
        table = module.weight.detach()[rows].requires_grad_()
        out = functional_call(small, {"weight": table}, (where,))
        (found,) = torch.autograd.grad(out, table, gradient)
    if module.padding_idx is not None:
        found[rows == module.padding_idx] = 0
    return rows, found


class Traced(torch.autograd.Function):
    """A parameter that already holds the deltas, as a tensor that passes its gradient on to them.

    The dense gradient exists only while the deltas' gradients are gathered from it.
    """

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, entries: tuple[Entries, ...], *deltas: Tensor) -> Tensor:
        """Return a view of `parameter`."""
        ctx.entries = entries
        ctx.delta_types = tuple(delta.dtype for delta in deltas)
        return parameter.view_as(parameter)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        """Return the gradients of each delta."""
        pairs = zip(ctx.entries, ctx.delta_types, strict=True)
        return None, None, *(entries.of(gradient).to(delta_type) for entries, delta_type in pairs)
