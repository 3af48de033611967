"""The interface between a method and the training loop: a PEFT config, an optimizer, and hooks around each step."""

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
from spaces.spec.sections import Quantization

C = TypeVar("C", bound=Configuration)
ParameterGroup = dict[str, Any]
"""A parameter group of a torch optimizer: `params`, and settings that differ from the defaults, such as `lr`."""


class StepHooks:
    """Work around each optimizer step. This base class does nothing. Steps count from 1.

    The order within a step: `before_forward`; forward, `batch_loss` and backward of every micro-batch; `auxiliary_loss`
    and its backward; `after_backward`; clipping; the optimizer's update; `after_step`. Only then are the gradients
    cleared.
    """

    def before_forward(self, step: int) -> None:
        """Prepare `step`, before its first forward."""

    def batch_loss(self, step: int, logits: Tensor, forward: Callable[[], Tensor]) -> Tensor | None:
        """Return a scalar with a gradient that is added to the summed loss of a micro-batch, or None to add nothing.

        Args:
            step: the step that the micro-batch belongs to. After running out of memory the step's micro-batches are run
                again.
            logits: the model's output for the micro-batch.
            forward: runs the model on the micro-batch once more, for a loss that compares two stochastic forwards.
        """
        return None

    def auxiliary_loss(self, step: int) -> Tensor | None:
        """Return a scalar with a gradient that is added once to the mean loss of the step, or None to add nothing."""
        return None

    def after_backward(self, step: int) -> None:
        """Use or change the complete gradients of `step`, before they are clipped."""

    def after_step(self, step: int) -> None:
        """Finish `step` after the optimizer's update, while the gradients still exist."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint needs beside the model's and the optimizer's."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state from `state_dict`, before the states of the model and the optimizer are loaded."""


class NoStockForm(ValueError):
    """No tuner in PEFT computes the same. The message names the layer or the setting."""


@dataclass(frozen=True)
class StockForm:
    """An equal adapter of one of PEFT's own tuners: its config, and its tensors under PEFT's names.

    The head is not in it.
    """

    config: PeftConfig
    tensors: Mapping[str, Tensor]


class Adapter(ABC, Generic[C]):
    """The torch side of a method, joined with its `spaces` side by `name`.

    The base may be shared between processes, so a tuner that writes into its weights makes private copies of them
    first. Differences between training and evaluation follow each module's `training`. A parameter that several layers
    hold is one `nn.Parameter`, and counts once.

    Attributes:
        name: the name of the method.
        moves_state: whether its hooks move the optimizer's state from entry to entry, which wants one number an entry.
    """

    name: ClassVar[str]
    moves_state: ClassVar[bool] = False

    @abstractmethod
    def peft_config(self, configuration: C, inventory: Inventory, seed: int) -> PeftConfig:
        """Return the PEFT config of `configuration` for a model with `inventory`; `seed` is the training's."""

    def initialise(self, model: PeftModel, configuration: C) -> None:
        """Set initial values that PEFT has not; called with PyTorch's generator seeded."""

    def refusal(self, quantization: Quantization, inventory: Inventory) -> str | None:
        """Return why the method cannot adapt quantised layers, with the mathematical reason or that of PEFT.

        None if it can.
        """
        return None

    def hooks(
        self, model: PeftModel, configuration: C, optimizer: torch.optim.Optimizer, total_steps: int
    ) -> StepHooks:
        """Return the hooks for one training of `total_steps` optimizer steps."""
        return StepHooks()

    def groups(self, configuration: C, parameters: Mapping[str, nn.Parameter]) -> list[ParameterGroup]:
        """Return the optimizer's groups of the adapter's `parameters`, given by name: here one group at one rate."""
        return [{"params": list(parameters.values()), "lr": configuration.learning_rate}]

    def optimizer(self, groups: Sequence[ParameterGroup], weight_decay: float) -> torch.optim.Optimizer:
        """Return the optimizer of one training. The head's group is among `groups`."""
        return torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)

    def stock(self, model: PeftModel, configuration: C) -> StockForm:
        """Return the trained adapter of `model` in a form that PEFT loads without our code.

        An adapter of PEFT's own tuners is returned as it is.

        Raises:
            NoStockForm: naming the layer or the setting, when there is no such form.
        """
        config = model.peft_config[model.active_adapter]
        if not type(config).__module__.startswith("peft."):
            raise NoStockForm(f"{self.name}: PEFT has no equal form")
        return StockForm(config, get_peft_model_state_dict(model, save_embedding_layers=False))


def target_names(configuration: PlacedConfiguration, inventory: Inventory) -> list[str]:
    """Return the full names of the layers to adapt.

    Full, because PEFT matches the ends of names: `output.dense` would also match `attention.output.dense`.
    """
    return [layer.name for layer in select(inventory, configuration.targets, configuration.layers)]


def method_settings(configuration: PlacedConfiguration) -> dict[str, Any]:
    """Return the method's own settings by name: all but its place and its learning rate."""
    return configuration.model_dump(exclude=set(PlacedConfiguration.model_fields))


AnyAdapter = Adapter[Any]
