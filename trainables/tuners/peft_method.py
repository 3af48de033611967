"""Methods that PEFT already has: our configuration is turned into their PEFT config."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

from peft import PeftConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import Inventory, select
from trainables.tuners.adapter import Adapter

P = TypeVar("P", bound=PlacedConfiguration)


class LayerAdapter(Adapter[P]):
    """A method of PEFT's that adapts linear layers."""

    config: type[PeftConfig]

    @abstractmethod
    def settings(self, configuration: P, layers: Layers, seed: int) -> dict[str, Any]:
        """Return the arguments of `config` beside the names of the targets; `layers` are the targets."""

    def peft_config(self, configuration: P, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the layers by their full names.

        PEFT matches the ends of names, so `output.dense` would also match `attention.output.dense`.
        """
        layers = select(inventory, configuration.targets, configuration.layers)
        return self.config(
            target_modules=[layer.name for layer in layers], **self.settings(configuration, layers, seed)
        )


def transposed(layers: Layers) -> bool:
    """Return whether the modules store weights as (in, out), like GPT-2's; PEFT has to be told."""
    return any(layer.transposed for layer in layers)
