"""A private weight whose entries are overwritten in place and restored to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers.pytorch_utils import Conv1D

Entries = tuple[Tensor, Tensor]  # flat indices (k,) and float32 deltas (k,)


class _Steps:
    """Optimizer steps made in this process: a fused optimizer changes parameters without raising their version."""

    made = 0

    @classmethod
    def count(cls, *_: Any) -> None:
        cls.made += 1


register_optimizer_step_post_hook(_Steps.count)


@dataclass(frozen=True)
class _Record:
    """What stands in the weight: from which tensors, in which state, at which places, and what was there before.

    Holding the tensors keeps their identities from being used again.
    """

    tensors: tuple[Tensor, ...]
    state: tuple[int, ...]
    places: Tensor
    original: Tensor


class WrittenWeight:
    """The weight of `layer`; the first write exchanges it for a private copy, for it may be shared with others."""

    def __init__(self, layer: nn.Linear | Conv1D) -> None:
        self._layer = layer
        self._private: nn.Parameter | None = None
        self._record: _Record | None = None

    @torch.no_grad()
    def write(self, tensors: Sequence[Tensor], entries: Callable[[], Sequence[Entries]]) -> None:
        """Make the weight hold W.float() + Δ, rounded once to its type, where Δ is the sum of `entries`.

        Args:
            tensors: what the entries are made from. While these are unchanged, nothing is done. Changes through
                `.data` are noticed at the next optimizer step.
            entries: gives for each delta its places, without repetition, and its values.
        """
        state = (_Steps.made, *(number for one in tensors for number in (id(one), one._version)))
        if self._record is not None and self._record.state == state:
            return
        self.restore()
        if self._layer.weight is not self._private:
            self._layer.weight = self._private = _copy(self._layer.weight)
        places, deltas = _sum(entries())
        weight = self._flat()
        original = weight[places]
        weight[places] = (original.float() + deltas).to(weight.dtype)
        self._record = _Record(tuple(tensors), state, places, original)

    @torch.no_grad()
    def restore(self) -> None:
        """Make the weight hold the pretrained values."""
        if self._record is not None:
            self._flat()[self._record.places] = self._record.original
            self._record = None

    def _flat(self) -> Tensor:
        # Writing through a detached view raises the weight's version: a backward pass that needs the weight as it
        # was fails loudly instead of using the new one.
        flat: Tensor = self._layer.weight.detach().view(-1)
        return flat


@torch.inference_mode(False)
def _copy(weight: Tensor) -> nn.Parameter:
    # Made while evaluating, it must still serve training.
    return nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format), requires_grad=False)


def _sum(entries: Sequence[Entries]) -> Entries:
    """Places without repetition, in a tensor of their own that nobody changes, and the summed deltas there."""
    if len(entries) == 1:
        places, deltas = entries[0]
        return places.clone(), deltas
    places, back = torch.unique(torch.cat([place for place, _ in entries]), return_inverse=True)
    deltas = torch.cat([delta for _, delta in entries])
    return places, torch.zeros(len(places), device=deltas.device).index_add_(0, back, deltas)
