"""Private parameters whose entries are overwritten in place and restored to the bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

Written = tuple[Tensor, Tensor]  # flat indices (k,) and float32 deltas (k,)


class _Steps:
    """Optimizer steps made in this process: a fused optimizer changes parameters without raising their version."""

    made = 0

    @classmethod
    def count(cls, *_: Any) -> None:
        cls.made += 1


register_optimizer_step_post_hook(_Steps.count)


@dataclass(frozen=True)
class _Record:
    """What stands in the parameters: from which tensors, in which state, and what was there before, at which places.

    Holding the tensors keeps their identities from being used again.
    """

    tensors: tuple[Tensor, ...]
    state: tuple[int, ...]
    originals: tuple[tuple[nn.Parameter, Tensor, Tensor], ...]  # a parameter, flat indices (k,), values (k,)


class Range(NamedTuple):
    """The entries of one parameter: its number, from where to where they are, and the place of its first entry."""

    number: int
    low: int
    high: int
    start: int


Owner = tuple[nn.Module, str]


class WrittenParameters:
    """Parameters of the base, laid out flat one after another.

    The first write to one exchanges it for a private copy in all of its owners, for it may be shared with others.
    """

    def __init__(self, owners: Sequence[Sequence[Owner]]) -> None:
        """`owners`: for each parameter the modules that hold it, several where it is tied, and its name there."""
        self._owners = [tuple(one) for one in owners]
        self._private: dict[int, nn.Parameter] = {}
        self._record: _Record | None = None
        self._ranges: tuple[Tensor, int, list[Range]] | None = None

    @torch.no_grad()
    def write(self, tensors: Sequence[Tensor], entries: Callable[[], Sequence[Written]]) -> None:
        """Make the parameters hold W.float() + Δ, rounded once to their type, where Δ is the sum of `entries`.

        Args:
            tensors: what the entries are made from. While these are unchanged, nothing is done. Changes through
                `.data` are noticed at the next optimizer step.
            entries: gives for each delta its places, ascending and without repetition, and its values.
        """
        state = (_Steps.made, *(number for one in tensors for number in (id(one), one._version)))
        if self._record is not None and self._record.state == state:
            return
        self.restore()
        places, deltas = _sum(entries())
        originals = []
        for number, low, high, start in self.ranges(places):
            parameter = self._own(number)
            flat, here = _flat(parameter), places[low:high] - start  # a tensor that nobody else changes
            original = flat[here]
            flat[here] = (original.float() + deltas[low:high]).to(flat.dtype)
            originals.append((parameter, here, original))
        self._record = _Record(tuple(tensors), state, tuple(originals))

    @torch.no_grad()
    def restore(self) -> None:
        """Make the parameters hold the pretrained values."""
        if self._record is not None:
            for parameter, here, original in self._record.originals:
                _flat(parameter)[here] = original
            self._record = None

    def ranges(self, places: Tensor) -> list[Range]:
        """Where in ascending `places` the entries of each parameter lie, for the parameters that have some.

        Found anew only when `places` is another tensor than last time, or was changed.
        """
        if self._ranges is None or self._ranges[0] is not places or self._ranges[1] != places._version:
            starts = [0, *itertools.accumulate(getattr(*owners[0]).numel() for owners in self._owners)]
            ends = torch.tensor(starts, dtype=places.dtype, device=places.device)
            bounds = torch.searchsorted(places, ends).tolist()
            found = enumerate(zip(bounds, bounds[1:], starts, strict=False))
            kept = [Range(number, low, high, start) for number, (low, high, start) in found if low < high]
            self._ranges = (places, places._version, kept)
        return self._ranges[2]

    def _own(self, number: int) -> nn.Parameter:
        private = self._private.get(number)
        if private is None or any(getattr(*owner) is not private for owner in self._owners[number]):
            private = self._private[number] = _copy(getattr(*self._owners[number][0]))
            for module, name in self._owners[number]:
                setattr(module, name, private)
        return private


def _flat(parameter: nn.Parameter) -> Tensor:
    # Writing through a detached view raises the parameter's version: a backward pass that needs it as it was fails
    # loudly instead of using the new one.
    return parameter.detach().view(-1)


@torch.inference_mode(False)
def _copy(weight: Tensor) -> nn.Parameter:
    # Made while evaluating, it must still serve training.
    return nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format), requires_grad=False)


def _sum(entries: Sequence[Written]) -> Written:
    """Ascending places without repetition, and the summed deltas there."""
    if len(entries) == 1:
        return entries[0]
    places, back = torch.unique(torch.cat([place for place, _ in entries]), return_inverse=True)
    deltas = torch.cat([delta for _, delta in entries])
    return places, torch.zeros(len(places), device=deltas.device).index_add_(0, back, deltas)
