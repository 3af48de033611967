"""What a method needs from the loop, and what it gives: a PEFT config, and hooks around the optimizer step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch
from peft import PeftConfig, PeftModel

from spaces.inventory import Inventory
from spaces.methods.base import Configuration

C = TypeVar("C", bound=Configuration)


class StepHooks:
    """Work around each optimizer step; this one does nothing. Steps count from 1."""

    def before_forward(self, step: int) -> None:
        """Called before the first forward of `step`."""

    def after_step(self, step: int) -> None:
        """Called after the optimizer's update of `step`."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the model's and the optimizer's state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave, before the optimizer's state is loaded."""


class Adapter(ABC, Generic[C]):
    """The side of a method that knows torch. Joined with its `spaces` side by `name`.

    The base may be shared between processes: a tuner that writes into its weights makes private copies of them first.
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


AnyAdapter = Adapter[Any]
