"""What a method needs from the loop, and what it gives: a PEFT config, hooks around the step, its optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from torch import Tensor, nn

from spaces.methods.base.method import Configuration, PlacedConfiguration
from spaces.model.inventory import Inventory, select

C = TypeVar("C", bound=Configuration)
ParameterGroup = dict[str, Any]
"""As torch's optimizers take them: `params`, and what differs from the defaults, `lr` above all."""


class StepHooks:
    """Work around each optimizer step; this one does nothing. Steps count from 1.

    The order within a step: `before_forward`, forward, `batch_loss` and backward of every micro-batch, `auxiliary_loss`
    and its backward, `after_backward`, clipping, the optimizer's update, `after_step`, and only then the gradients are
    cleared.
    """

    def before_forward(self, step: int) -> None:
        """Called before the first forward of `step`."""

    def batch_loss(self, step: int, logits: Tensor, forward: Callable[[], Tensor]) -> Tensor | None:
        """A scalar with a gradient that is added to the summed loss of a micro-batch; None where there is none.

        Args:
            step: the step that the micro-batch belongs to; when memory runs out, it is gone through again.
            logits: what the model said of the micro-batch.
            forward: runs the model on it once more, as a loss of the agreement of two stochastic forwards needs.
        """
        return None

    def auxiliary_loss(self, step: int) -> Tensor | None:
        """A scalar with a gradient that is added to the mean loss of the step, once; None where there is none."""
        return None

    def after_backward(self, step: int) -> None:
        """Called when the gradients of `step` are complete, before they are clipped."""

    def after_step(self, step: int) -> None:
        """Called after the optimizer's update of `step`, while the gradients are still there."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the model's and the optimizer's state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave, before the model's and the optimizer's state are loaded."""


class NoStockForm(ValueError):
    """PEFT has no tuner that computes the same; the message names the layer or the setting."""


@dataclass(frozen=True)
class StockForm:
    """An equal adapter of a tuner that PEFT has: its config and its tensors, named as PEFT saves them, no head."""

    config: PeftConfig
    tensors: Mapping[str, Tensor]


class Adapter(ABC, Generic[C]):
    """The side of a method that knows torch. Joined with its `spaces` side by `name`.

    The base may be shared between processes: a tuner that writes into its weights makes private copies of them first.
    What differs between training and evaluation follows each module's `training`; parameters that layers share are one
    `nn.Parameter` in several places, and count once.
    """

    name: ClassVar[str]

    @abstractmethod
    def peft_config(self, configuration: C, inventory: Inventory, seed: int) -> PeftConfig:
        """The PEFT config of `configuration` on a model with `inventory`."""

    def hooks(
        self, model: PeftModel, configuration: C, optimizer: torch.optim.Optimizer, total_steps: int
    ) -> StepHooks:
        """Hooks for one training of `total_steps` optimizer steps."""
        return StepHooks()

    def groups(self, configuration: C, parameters: Mapping[str, nn.Parameter]) -> list[ParameterGroup]:
        """How the optimizer is to treat the adapter's `parameters`, given by name: one group at one rate."""
        return [{"params": list(parameters.values()), "lr": configuration.learning_rate}]

    def optimizer(self, groups: Sequence[ParameterGroup], weight_decay: float) -> torch.optim.Optimizer:
        """The optimizer of one training; the head's group is among `groups`."""
        return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)

    def stock(self, model: PeftModel, configuration: C) -> StockForm:
        """The trained adapter of `model` as one that PEFT loads without our code; of PEFT's own tuners, itself.

        Raises:
            NoStockForm: where there is none, naming the layer or the setting.
        """
        config = model.peft_config[model.active_adapter]
        if not type(config).__module__.startswith("peft."):
            raise NoStockForm(f"{self.name}: PEFT has no equal form")
        return StockForm(config, get_peft_model_state_dict(model, save_embedding_layers=False))


def target_names(configuration: PlacedConfiguration, inventory: Inventory) -> list[str]:
    """Full names of the layers to adapt, for PEFT matches by the end: output.dense, attention.output.dense."""
    return [layer.name for layer in select(inventory, configuration.targets, configuration.layers)]


def method_settings(configuration: PlacedConfiguration) -> dict[str, Any]:
    """Return the method's own settings by name: all but its place and its learning rate."""
    return configuration.model_dump(exclude=set(PlacedConfiguration.model_fields))


AnyAdapter = Adapter[Any]
