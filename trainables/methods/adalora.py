"""AdaLoRA (arXiv 2303.10512), by PEFT's own tuner, with its rank allocation as hooks around the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from peft import AdaLoraConfig, PeftModel
from peft.tuners.adalora import AdaLoraLayer, AdaLoraModel
from torch import Tensor

from spaces.methods.adalora import AdaLoraConfiguration
from spaces.methods.base.layer_method import Layers
from trainables.tuners.adapter import StepHooks
from trainables.tuners.peft_method import LayerAdapter, transposed

SENSITIVITIES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class Allocation(StepHooks):
    """The orthogonality penalty on P and Q, and the pruning of the least important triplets after each step.

    PEFT would ship each weight at its final rank. Here pruned triplets are shipped as zeros, because the pattern of
    those that are left is kept out of PEFT's config.
    """

    def __init__(self, model: PeftModel, configuration: AdaLoraConfiguration, total_steps: int) -> None:
        self._tuner: AdaLoraModel = model.base_model
        self._adapter: str = model.active_adapter
        self._penalty = configuration.orthogonality
        self._pattern: dict[str, list[bool]] | None = None
        config = self._tuner.peft_config[self._adapter]
        config.total_step = total_steps
        config.tinit = int(configuration.start * total_steps)
        config.tfinal = total_steps - max(config.tinit + 2, int(configuration.end * total_steps))
        # PEFT ranks triplets that it has seen in at least one step before the last allocation, and prunes at least one.
        self._allocates = config.tfinal >= 0 and config.target_r < config.init_r

    def auxiliary_loss(self, step: int) -> Tensor | None:
        """Return the mean of ‖Pᵀ P - 1‖ and ‖Q Qᵀ - 1‖ over all weights.

        PEFT adds it itself to losses that the model computes.
        """
        distances = []
        for layer in self._tuner.modules():
            if isinstance(layer, AdaLoraLayer):
                q, p = layer.lora_A[self._adapter], layer.lora_B[self._adapter]
                distances += [_from_identity(q @ q.T), _from_identity(p.T @ p)]
        return self._penalty * torch.stack(distances).mean() if self._penalty else None

    def after_step(self, step: int) -> None:
        """Prune triplets as the schedule demands, and keep the pruned ones at 0."""
        if not self._allocates:
            return
        config = self._tuner.peft_config[self._adapter]
        config.rank_pattern = self._pattern
        self._tuner.update_and_allocate(step)
        self._pattern, config.rank_pattern = config.rank_pattern, None

    def state_dict(self) -> dict[str, Any]:
        """Return the triplets that are left, and the smoothed sensitivities that rank them."""
        allocator = self._tuner.rankallocator
        return {"pattern": self._pattern, **{name: getattr(allocator, name) for name in SENSITIVITIES}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._pattern = state["pattern"]
        for name in SENSITIVITIES:
            setattr(self._tuner.rankallocator, name, dict(state[name]))


def _from_identity(product: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device))
    return distance


class AdaLora(LayerAdapter[AdaLoraConfiguration]):
    """A low-rank update whose ranks move between weights; `attach` seeds the initial values."""

    name = "adalora"
    config = AdaLoraConfig

    def settings(self, configuration: AdaLoraConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Turn the scaling into `lora_alpha`, which PEFT divides by the initial rank.

        `hooks` sets the real schedule.
        """
        return {
            "init_r": configuration.rank,
            "target_r": max(1, round(configuration.kept * configuration.rank)),
            "lora_alpha": configuration.scaling * configuration.rank,
            "total_step": 1,
            "fan_in_fan_out": transposed(layers),
        }

    def hooks(
        self,
        model: PeftModel,
        configuration: AdaLoraConfiguration,
        optimizer: torch.optim.Optimizer,
        total_steps: int,
    ) -> Allocation:
        """Return the rank allocation over `total_steps`."""
        return Allocation(model, configuration, total_steps)


ADAPTERS = (AdaLora(),)
