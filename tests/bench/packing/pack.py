"""Trials of different methods on one frozen base at once: each adapter on its own slice of one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from peft.tuners.ia3.layer import Linear as Ia3Linear
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn

from tests.bench.steps.stages import Stage
from trainables.adapters.attach import base_name
from trainables.tuners.additive import AdditiveLayer

ADAPTER = "default"
Batch = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Trial:
    """A training of its own: an adapted model around the shared tensors, and its optimizer."""

    method: str
    model: nn.Module
    optimizer: torch.optim.Optimizer

    def parts(self) -> dict[str, nn.Module]:
        """Its adapted layers and its head by the base's names."""
        found = {base_name(self.model, name): module for name, module in self.model.named_modules()}
        heads = {n: m.modules_to_save[ADAPTER] for n, m in found.items() if isinstance(m, ModulesToSaveWrapper)}
        return {n: m for n, m in found.items() if isinstance(m, LoraLinear | Ia3Linear | AdditiveLayer)} | heads


class Pack:
    """One model in which every member's adapter and head see the member's slice alone.

    Members may be others at every step: nothing of a member is copied.
    """

    def __init__(self, stage: Stage) -> None:
        self._model = stage.model()
        self._members: dict[Trial, dict[str, nn.Module]] = {}
        self._sizes: list[int] = []
        for layer in stage.inventory.layers:
            module = self._model.get_submodule(layer.name)
            self._exchange(layer.name, partial(self._adapted, layer.name, module.forward))
        for name in stage.inventory.head_modules:
            self._exchange(name, partial(self._headed, name))

    def losses(self, batches: Mapping[Trial, Batch]) -> dict[Trial, Tensor]:
        """The mean loss of each member over its own batch; all batches are of equal length in tokens."""
        self._members = {trial: self._members.get(trial) or trial.parts() for trial in batches}
        self._sizes = [len(batch["labels"]) for batch in batches.values()]
        logits = self._model(input_ids=torch.cat([batch["input_ids"] for batch in batches.values()])).logits
        pairs = zip(batches.items(), self._slices(logits), strict=True)
        return {trial: nn.functional.cross_entropy(own, batch["labels"]) for (trial, batch), own in pairs}

    def _exchange(self, name: str, forward: Callable[[Tensor], Tensor]) -> None:
        module = self._model.get_submodule(name)
        module.forward = forward

    def _slices(self, whole: Tensor) -> list[Tensor]:
        return list(whole.split(self._sizes))  # of which the gradient is one tensor, not one of full size for each

    def _adapted(self, name: str, base: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        layers = [parts.get(name) for parts in self._members.values()]
        slices = self._slices(x)
        if any(isinstance(layer, Ia3Linear) and layer.is_feedforward for layer in layers):
            slices = [scaled(layer, one) for layer, one in zip(layers, slices, strict=True)]
            x = torch.cat(slices)
        output = base(x)
        if all(layer is None for layer in layers):
            return output
        rows = zip(layers, slices, self._slices(output), strict=True)
        return torch.cat([changed(layer, one, of_base) for layer, one, of_base in rows])

    def _headed(self, name: str, x: Tensor) -> Tensor:
        heads = [parts[name] for parts in self._members.values()]
        return torch.cat([head(one) for head, one in zip(heads, self._slices(x), strict=True)])


def scaled(layer: nn.Module | None, x: Tensor) -> Tensor:
    """What goes into the base's weight for a member's x."""
    return x * layer.ia3_l[ADAPTER].flatten() if isinstance(layer, Ia3Linear) and layer.is_feedforward else x


def changed(layer: nn.Module | None, x: Tensor, output: Tensor) -> Tensor:
    """What a member's layer puts out where the base's weight gave `output`."""
    if isinstance(layer, LoraLinear):
        low = layer.lora_A[ADAPTER](layer.lora_dropout[ADAPTER](x))
        return output + layer.lora_B[ADAPTER](low) * layer.scaling[ADAPTER]
    if isinstance(layer, AdditiveLayer):
        return output + layer.addition(ADAPTER, x, output)
    if isinstance(layer, Ia3Linear) and not layer.is_feedforward:
        return output * layer.ia3_l[ADAPTER].flatten()
    return output
