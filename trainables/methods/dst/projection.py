"""The projection of Dynamic Subset Tuning as plain functions: distances, and the selection of the farthest entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from spaces.methods.dst import Distance

SMALLEST_MAGNITUDE = 1e-8  # of a pretrained value, as the relative distances see it

Measure = Callable[[Tensor, Tensor], Tensor]


def _absolute(deltas: Tensor, pretrained: Tensor) -> Tensor:
    return deltas.abs()


def _relative(deltas: Tensor, pretrained: Tensor) -> Tensor:
    return deltas.abs().div_(pretrained.float().abs().clamp_(min=SMALLEST_MAGNITUDE))


def _inverse_relative(deltas: Tensor, pretrained: Tensor) -> Tensor:
    return deltas.abs().mul_(pretrained.float().abs().clamp_(min=SMALLEST_MAGNITUDE))


DISTANCES: Mapping[Distance, Measure] = {
    "absolute": _absolute,
    "relative": _relative,
    "inverse-relative": _inverse_relative,
}
"""The distance d(θ, θ̂, θ⁰) of an entry from its full update θ̂ if it is reset to the pretrained θ⁰; Δ = θ̂ - θ⁰.

|Δ|, |Δ| / |θ⁰| or |Δ| · |θ⁰|, where |θ⁰| is taken as no smaller than `SMALLEST_MAGNITUDE`. The paper's d has θ⁰ among
its arguments; its exact form could not be recovered, so all three are offered. An entry that keeps θ̂ has distance 0, so
the sum of distances over a silo is least when the entries of largest d keep their updates.
"""


def farthest(distances: Sequence[Tensor], count: int) -> list[Tensor]:
    """Return the places of the `count` largest of all `distances` together; among equal ones, of the first.

    The result does not depend on the order in which parallel code runs.

    Args:
        distances: one tensor (entries,) for each weight of a silo. NaN counts as infinitely far.
        count: at least 1, at most the number of entries in all.

    Returns:
        For each weight the flat places that stay, sorted, int32.
    """
    known = [one.nan_to_num(nan=math.inf, posinf=math.inf) for one in distances]
    # The largest of all are among the largest of each weight.
    candidates = [one.topk(min(count, len(one)), sorted=False).values for one in known]
    threshold = torch.cat(candidates).topk(count, sorted=False).values.min()
    beyond = [one > threshold for one in known]
    left = count - sum(int(one.sum()) for one in beyond)
    places = []
    for one, chosen in zip(known, beyond, strict=True):
        ties = (one == threshold).nonzero().squeeze(1)[:left]
        chosen[ties] = True
        left -= len(ties)
        places.append(chosen.nonzero().squeeze(1).int())
    return places
