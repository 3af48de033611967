"""The projection of Dynamic Subset Tuning (arXiv 2411.08610): full updates, of which the farthest entries stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainables.methods.base import StepHooks
from trainables.sparse import SparseLayer

State = dict[str, Any]


class SubsetLayer(SparseLayer):
    """A sparse layer whose entries can be chosen anew."""

    def expand(self, adapter: str) -> nn.Parameter:
        """Exchange the deltas (k,) for dense ones (entries,), zero outside the subset."""
        dense = torch.zeros(self.base_layer.weight.numel(), device=self.base_layer.weight.device)
        dense[self.places[adapter]] = self.deltas[adapter].detach()
        self.expanded.add(adapter)
        return self._exchange(adapter, dense)

    def contract(self, adapter: str) -> nn.Parameter:
        """Keep the k largest of the dense deltas; all others are 0 from now on: their entries are as pretrained.

        This is the exact projection on the weights that differ from the pretrained ones in at most k entries: a sum
        of distances is least when the k farthest entries stay.
        """
        dense = self.deltas[adapter].detach()
        count = len(self.places[adapter])
        farthest = dense.abs().topk(count, sorted=False).indices.sort().values
        self.places[adapter] = farthest.int()
        self.expanded.discard(adapter)
        return self._exchange(adapter, dense[farthest])

    def _exchange(self, adapter: str, values: Tensor) -> nn.Parameter:
        parameter = nn.Parameter(values)
        self.deltas[adapter] = parameter
        return parameter


class Reselection(StepHooks):
    """Reselects at step 1 and then every `interval` steps, up to step `last`.

    At such a step the deltas are dense from before the forward until after the optimizer's update, which thus is the
    full one; then each weight is projected. The optimizer's moments of entries outside the subset are kept, neither
    updated nor cleared, until the next reselection takes them up. Between reselections only the subset is trained.

    A reselection in which some weight had fewer than k moved entries is made again at the next step: under linear
    warm-up the first update is zero and says nothing. While nothing at all has moved this goes on after `last`.
    """

    def __init__(
        self, layers: Mapping[str, SubsetLayer], adapter: str, optimizer: Optimizer, *, interval: int, last: int
    ) -> None:
        self._layers = layers
        self._adapter = adapter
        self._optimizer = optimizer
        self._interval = interval
        self._last = last
        self._next = 1
        self._moved = False
        self._kept: dict[str, State] = {}

    def before_forward(self, step: int) -> None:
        """Expand the deltas when `step` reselects."""
        if step < self._next or (step > self._last and self._moved):
            return
        for name, layer in self._layers.items():
            old, places = layer.deltas[self._adapter], layer.places[self._adapter]
            new = layer.expand(self._adapter)
            kept = self._kept.pop(name, {})
            state = _exchange(self._optimizer, old, new)
            for key in _moments(state, old):
                dense = kept[key] if key in kept else torch.zeros_like(new, dtype=state[key].dtype)
                dense[places] = state[key]
                state[key] = dense

    def after_step(self, step: int) -> None:
        """Project and contract the deltas when `step` reselected."""
        complete = True
        for name, layer in self._layers.items():
            if self._adapter not in layer.expanded:
                return
            old = layer.deltas[self._adapter]
            moved = int(old.detach().count_nonzero())
            new = layer.contract(self._adapter)
            state = _exchange(self._optimizer, old, new)
            self._kept[name] = {key: state[key] for key in _moments(state, old)}
            for key, dense in self._kept[name].items():
                state[key] = dense[layer.places[self._adapter]]
            complete = complete and moved >= new.numel()
            self._moved = self._moved or moved > 0
        self._next = step + (self._interval if complete else 1)
        if self._next > self._last and self._moved:
            self._kept.clear()

    def state_dict(self) -> State:
        """The moments kept aside (as much memory as the targets have, for each moment) and the next reselection."""
        return {"kept": self._kept, "next": self._next, "moved": self._moved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._kept = {name: dict(kept) for name, kept in state["kept"].items()}
        self._next, self._moved = state["next"], state["moved"]


def _exchange(optimizer: Optimizer, old: Tensor, new: Tensor) -> State:
    """Let the optimizer hold `new` in the place of `old`; returns its state, to be fitted to `new`."""
    for group in optimizer.param_groups:
        group["params"] = [new if parameter is old else parameter for parameter in group["params"]]
    state: State = optimizer.state.pop(old, {})
    if state:
        optimizer.state[new] = state
    return state


def _moments(state: State, parameter: Tensor) -> list[str]:
    """What the optimizer keeps for every entry of `parameter`, a vector: not the count of its steps."""
    return [key for key, value in state.items() if isinstance(value, Tensor) and value.shape == parameter.shape]
