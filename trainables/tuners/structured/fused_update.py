"""A linear product whose update is added to the weight first, which for many tokens costs less than beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

Compose = Callable[..., Tensor]
Gather = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


class ComposedProduct(torch.autograd.Function):
    """(W + ΔW) x + b for a frozen W; backward gives the gradients of x and of the parts of ΔW.

    W + ΔW exists only while it is multiplied: it is computed again for the gradient of x, so that a step stores nothing
    of the weight's size.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        compose: Compose,
        gather: Gather | None,
        *parts: Tensor,
    ) -> Tensor:
        """Apply the layer to x of shape (…, in).

        Args:
            ctx: autograd's.
            x: the input.
            weight: W, shape (out, in).
            bias: b, shape (out,), or None.
            compose: computes ΔW, shaped like W, from `parts`; differentiable.
            gather: computes the gradients of `parts` from those of the output, shape (T, out), and from x, shape (T,
                in), without the gradient of ΔW. None: autograd goes through ΔW.
            parts: the tensors that ΔW is made of.
        """
        ctx.save_for_backward(x, weight, *parts)
        ctx.compose, ctx.gather = compose, gather
        return linear(x, weight + compose(*parts), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and of each part."""
        x, weight, *parts = ctx.saved_tensors
        wanted = ctx.needs_input_grad[5:]
        leaves = [part.detach().requires_grad_(need) for part, need in zip(parts, wanted, strict=True)]
        with torch.enable_grad():
            delta = ctx.compose(*leaves)
        to_x = gradient @ (weight + delta.detach()) if ctx.needs_input_grad[0] else None
        found: list[Tensor | None] = [None] * len(parts)
        if any(wanted):
            outer, inner = gradient.reshape(-1, gradient.shape[-1]), x.reshape(-1, x.shape[-1])
            if ctx.gather is not None:
                found = list(ctx.gather(outer, inner))
            else:
                of_leaves = iter(
                    torch.autograd.grad(delta, [one for one in leaves if one.requires_grad], outer.T @ inner)
                )
                found = [next(of_leaves) if need else None for need in wanted]
        return to_x, None, None, None, None, *found
