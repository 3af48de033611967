"""The gradient of a linear layer for a few entries of its weight, with no lasting dense gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class SparseProduct(torch.autograd.Function):
    """`layer(x)`, whose weight already holds the deltas; backward gives gradients of x and of the deltas.

    The product that holds the deltas' gradients lives only while they are gathered from it.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, layer: nn.Module, transposed: bool, places: tuple[Tensor | None, ...], *deltas: Tensor
    ) -> Tensor:
        """Apply `layer` to x of shape (…, in).

        Args:
            ctx: autograd's.
            x: the input.
            layer: holds the written weight, (out, in), or (in, out) if `transposed`.
            transposed: how the weight is stored.
            places: for each of `deltas` the flat indices (k,) of its values in the stored weight; None: all of them.
            deltas: trained values, shape (k,). They give nothing to the output but receive gradients.
        """
        out: Tensor = layer(x)
        # Under autocast the output is of the lower type, and so will be its gradient.
        ctx.save_for_backward(x.to(out.dtype), layer.weight)
        ctx.transposed, ctx.places, ctx.input_type = transposed, places, x.dtype
        ctx.delta_types = tuple(delta.dtype for delta in deltas)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x and of each delta."""
        x, weight = ctx.saved_tensors
        to_x: Tensor | None = None
        if ctx.needs_input_grad[0]:
            matrix = weight.to(gradient.dtype)
            to_x = (gradient @ (matrix.T if ctx.transposed else matrix)).to(ctx.input_type)
        to_deltas: list[Tensor | None] = [None] * len(ctx.places)
        if any(ctx.needs_input_grad[4:]):
            rows = x.reshape(-1, x.shape[-1])
            columns = gradient.reshape(-1, gradient.shape[-1])
            product = rows.T @ columns if ctx.transposed else columns.T @ rows
            dense = product.reshape(-1)
            for number, (place, delta_type) in enumerate(zip(ctx.places, ctx.delta_types, strict=True)):
                if ctx.needs_input_grad[4 + number]:
                    to_deltas[number] = (dense if place is None else dense.index_select(0, place)).to(delta_type)
        return to_x, None, None, None, *to_deltas
