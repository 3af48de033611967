"""Methods that PEFT already has: each is its PEFT config, made from our configuration."""

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
    """A tuner of linear layers."""

    config: type[PeftConfig]

    @abstractmethod
    def settings(self, configuration: P, layers: Layers, seed: int) -> dict[str, Any]:
        """What `config` takes beside the names of the targets; `layers` are these."""

    def peft_config(self, configuration: P, inventory: Inventory, seed: int) -> PeftConfig:
        """The targets by their full names, for PEFT matches by the end: output.dense, attention.output.dense."""
        layers = select(inventory, configuration.targets, configuration.layers)
        return self.config(
            target_modules=[layer.name for layer in layers], **self.settings(configuration, layers, seed)
        )


def transposed(layers: Layers) -> bool:
    """Whether the modules store their weights as (in, out), as PEFT wants to be told of GPT-2's."""
    return any(layer.transposed for layer in layers)
