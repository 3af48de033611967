"""The training of Dynamic Subset Tuning (arXiv 2411.08610): full updates, projected onto their farthest entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from spaces.methods.dst import Distance
from trainables.methods.dst.layer import SubsetLayer
from trainables.methods.dst.projection import DISTANCES, farthest
from trainables.methods.dst.schedule import Schedule, Silo
from trainables.tuners.adapter import StepHooks

State = dict[str, Any]


class Reselection(StepHooks):
    """Selects the trained entries anew on a schedule.

    At a reselecting step the deltas are dense from before the forward until after the optimizer's update, which is thus
    the full update; then each silo is projected. The optimizer's moments of entries outside the subset are kept,
    neither updated nor cleared, until the next reselection uses them again. With `clear` they restart from 0 then,
    while the optimizer's step count continues, so that Adam's next update of such an entry is up to (1 - β₁) / √(1 -
    β₂) learning rates. Between reselections only the subset is trained.

    A reselection in which some silo had fewer moved entries than its final subset has is repeated at the next step:
    under linear warm-up the first update is zero and ranks nothing. While nothing at all has moved, this continues
    after the schedule's last step.
    """

    def __init__(
        self,
        silos: Sequence[Silo],
        adapter: str,
        optimizer: Optimizer,
        schedule: Schedule,
        *,
        distance: Distance = "absolute",
        clear: bool = False,
    ) -> None:
        self._silos = silos
        self._adapter = adapter
        self._optimizer = optimizer
        self._schedule = schedule
        self._distance = DISTANCES[distance]
        self._clear = clear
        self._next = 1
        self._moved = False
        self._kept: dict[str, State] = {}

    def before_forward(self, step: int) -> None:
        """Expand the deltas if `step` reselects."""
        if step < self._next or (step > self._schedule.last and self._moved):
            return
        for name, layer in self._layers():
            old, places = layer.deltas[self._adapter], layer.places[self._adapter]
            new = layer.expand(self._adapter)
            kept = self._kept.pop(name, {})
            state = _exchange(self._optimizer, old, new)
            for key in _moments(state, old):
                dense = kept[key] if key in kept else torch.zeros_like(new, dtype=state[key].dtype)
                dense[places] = state[key]
                state[key] = dense

    def after_backward(self, step: int) -> None:
        """Give a weight without entries an empty gradient, so that the optimizer counts its step like all others."""
        for _, layer in self._layers():
            delta = layer.deltas[self._adapter]
            if not delta.numel():
                delta.grad = torch.zeros_like(delta)

    def after_step(self, step: int) -> None:
        """Project and contract the deltas if `step` reselected."""
        if not any(self._adapter in layer.expanded for _, layer in self._layers()):
            return
        complete = True
        for silo in self._silos:
            moved = self._project(silo, self._schedule.kept(silo, step))
            complete = complete and moved >= silo.places
            self._moved = self._moved or moved > 0
        self._next = self._schedule.following(step) if complete else step + 1
        if self._next > self._schedule.last and self._moved:
            self._kept.clear()

    @torch.no_grad()
    def _project(self, silo: Silo, count: int) -> int:
        """Keep the `count` farthest entries of a silo, and return how many had moved."""
        dense = {name: layer.deltas[self._adapter] for name, layer in silo.layers.items()}
        moved = sum(int(deltas.count_nonzero()) for deltas in dense.values())
        distances = [self._distance(dense[name], layer.pretrained()) for name, layer in silo.layers.items()]
        for (name, layer), places in zip(silo.layers.items(), farthest(distances, count), strict=True):
            new = layer.contract(self._adapter, places)
            state = _exchange(self._optimizer, dense[name], new)
            moments = {key: state[key] for key in _moments(state, dense[name])}
            state |= {key: moment[places] for key, moment in moments.items()}
            if not self._clear:
                self._kept[name] = moments
        return moved

    def _layers(self) -> Iterator[tuple[str, SubsetLayer]]:
        for silo in self._silos:
            yield from silo.layers.items()

    def state_dict(self) -> State:
        """Return the number of entries of each weight, the kept moments, and the next step that reselects.

        The moments of each weight are as large as the weight.
        """
        entries = {name: len(layer.places[self._adapter]) for name, layer in self._layers()}
        return {"entries": entries, "kept": self._kept, "next": self._next, "moved": self._moved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`, and make room for the entries of each weight."""
        for name, layer in self._layers():
            layer.resize(self._adapter, state["entries"][name])
        self._kept = {name: dict(kept) for name, kept in state["kept"].items()}
        self._next, self._moved = state["next"], state["moved"]


def _exchange(optimizer: Optimizer, old: Tensor, new: Tensor) -> State:
    """Replace `old` by `new` in the optimizer, and return its state, which is to be fitted to `new`."""
    for group in optimizer.param_groups:
        group["params"] = [new if parameter is old else parameter for parameter in group["params"]]
    state: State = optimizer.state.pop(old, {})
    if state:
        optimizer.state[new] = state
    return state


def _moments(state: State, parameter: Tensor) -> list[str]:
    """Return the names of the optimizer's state per entry of `parameter`, a vector; its step count is not one."""
    return [key for key, value in state.items() if isinstance(value, Tensor) and value.shape == parameter.shape]
