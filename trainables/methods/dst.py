"""Dynamic Subset Tuning (arXiv 2411.08610) as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from peft.utils import PeftType
from torch import nn

from spaces.inventory import Inventory
from spaces.methods.dst import DstConfiguration
from spaces.methods.sparta import choose_entries, entries_at
from trainables.methods.base import Adapter, StockForm, target_names
from trainables.reselection import Reselection, SubsetLayer
from trainables.stock_sparse import sparse_stock
from trainables.tuners import LinearConfig, LinearTuner, register


@dataclass
class DstConfig(LinearConfig):
    """In every target of |S| entries ⌊density · |S|⌋ differ from the pretrained values."""

    density: float = field(default=0.005, metadata={"help": "Part of each target's entries that may differ."})
    seed: int = field(default=0, metadata={"help": "Seed of the subset before the first reselection."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType["DST"]


class DstLayer(SubsetLayer):
    """A linear layer with a subset of its own."""

    adapter_layer_names = ("dst_delta",)
    other_param_names = ("dst_index",)


class DstModel(LinearTuner):
    """Starts from a random subset; without reselection it stays with it."""

    prefix = "dst_"
    tuner_layer_cls = DstLayer

    def _prepare_model(self, peft_config: DstConfig, model: nn.Module) -> None:
        self._places = {}
        for name, layer in self.targets(peft_config, model):
            size = layer.weight.numel()
            (chosen,) = choose_entries([size], entries_at(peft_config.density, size), peft_config.seed)
            self._places[name] = torch.from_numpy(chosen).int()

    def layer_arguments(self, name: str) -> dict[str, Any] | None:
        """Nothing for a weight too small for the density."""
        return {"places": self._places[name]} if len(self._places[name]) else None


register("dst", DstConfig, DstModel)


class Dst(Adapter[DstConfiguration]):
    """Keeps the entries that moved farthest."""

    name = "dst"

    def peft_config(self, configuration: DstConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """The first subset follows the training's seed."""
        return DstConfig(
            target_modules=target_names(configuration, inventory), density=configuration.density, seed=seed
        )

    def hooks(
        self, model: PeftModel, configuration: DstConfiguration, optimizer: torch.optim.Optimizer, total_steps: int
    ) -> Reselection:
        """Reselection on the configuration's schedule."""
        return Reselection(
            {name: module for name, module in model.named_modules() if isinstance(module, DstLayer)},
            model.active_adapter,
            optimizer,
            interval=configuration.reselection_interval,
            last=max(1, int(configuration.reselection_end * total_steps)),
        )

    def stock(self, model: PeftModel, configuration: DstConfiguration) -> StockForm:
        """PEFT's Supertuning holds the same entries."""
        return sparse_stock(model, self.name)


ADAPTERS = (Dst(),)
