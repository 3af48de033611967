"""Private parameters whose entries are overwritten in place and restored to the bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

Written = tuple[Tensor, Tensor]  # flat indices (k,) and float32 deltas (k,)


class _Steps:
    """The number of optimizer steps in this process. A fused optimizer does not raise the version of its parameters."""

    made = 0

    @classmethod
    def count(cls, *_: Any) -> None:
        cls.made += 1


register_optimizer_step_post_hook(_Steps.count)


class Range(NamedTuple):
    """The entries of one parameter among all places: its number, the bounds of its places, and its first flat index."""

    number: int
    low: int
    high: int
    start: int

    def flat(self, places: Tensor) -> Tensor:
        """Return flat indices into the parameter; for a module's first parameter a view of `places`."""
        here = places[self.low : self.high]
        return here - self.start if self.start else here


State = tuple[int, ...]
Originals = list[tuple[nn.Parameter, Range, Tensor]]  # a parameter, the range of its entries, their values (k,)


class _Record:
    """The deltas that the parameters hold now: their tensors and state, their places, and the values before.

    References to the tensors keep their ids from being used again. The places are not copied, so they must not change
    until the values are restored.
    """

    def __init__(self, tensors: Sequence[Tensor], state: State, places: Tensor, originals: Originals) -> None:
        self.state = state
        self._tensors = tuple(tensors)
        self._places = places
        self._version = places._version
        self.originals = originals

    def __reduce__(self) -> tuple[type[_Record], tuple[Any, ...]]:
        return _Record, (self._tensors, self.state, self._places, self.originals)  # a copy's version is its own

    def restore(self) -> None:
        if self._version != self._places._version:
            raise RuntimeError("places of deltas were changed in place while these were written; restore them before")
        for parameter, one, original in self.originals:
            _flat(parameter)[one.flat(self._places)] = original


Owner = tuple[nn.Module, str]


class WrittenParameters:
    """Parameters of the base, laid out flat one after another.

    The first write to one replaces it by a private copy in all of its owners, because other processes may share it.
    """

    def __init__(self, owners: Sequence[Sequence[Owner]]) -> None:
        """Name the parameters.

        Args:
            owners: for each parameter the modules that hold it, several if it is tied, and its name there.
        """
        self._owners = [tuple(one) for one in owners]
        self._private: dict[int, nn.Parameter] = {}
        self._record: _Record | None = None
        self._ranges: tuple[Tensor, int, list[Range]] | None = None

    @torch.no_grad()
    def write(self, tensors: Sequence[Tensor], entries: Callable[[], Sequence[Written]]) -> None:
        """Make the parameters hold W.float() + Δ, rounded once to their type, where Δ is the sum of `entries`.

        Args:
            tensors: the tensors that the entries are computed from. While these are unchanged, nothing is done. A
                change through `.data` is noticed at the next optimizer step.
            entries: returns for each delta its places, ascending and without repetition, and its values.
        """
        state = (_Steps.made, *(number for one in tensors for number in (id(one), one._version)))
        if self._record is not None and self._record.state == state:
            return
        self.restore()
        places, deltas = _sum(entries())
        originals = []
        for one in self.ranges(places):
            parameter = self._own(one.number)
            flat, here = _flat(parameter), one.flat(places)
            original = flat[here]
            flat[here] = (original.float() + deltas[one.low : one.high]).to(flat.dtype)
            originals.append((parameter, one, original))
        self._record = _Record(tensors, state, places, originals)

    @torch.no_grad()
    def restore(self) -> None:
        """Make the parameters hold the pretrained values.

        Raises:
            RuntimeError: when places were changed in place after deltas were written there.
        """
        if self._record is not None:
            self._record.restore()
            self._record = None

    def ranges(self, places: Tensor) -> list[Range]:
        """Return the range of each parameter that has entries among the ascending `places`.

        They are computed anew only when `places` is another tensor than last time, or was changed.
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
    # A copy made in inference mode could not be trained.
    return nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format), requires_grad=False)


def _sum(entries: Sequence[Written]) -> Written:
    """Return ascending places without repetition, and the summed deltas there."""
    if len(entries) == 1:
        return entries[0]
    places, back = torch.unique(torch.cat([place for place, _ in entries]), return_inverse=True)
    deltas = torch.cat([delta for _, delta in entries])
    return places, torch.zeros(len(places), device=deltas.device).index_add_(0, back, deltas)
