"""SpaRTA (arXiv 2502.15975) as a PEFT tuner: a fixed random subset of the entries of the chosen weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from peft.utils import PeftType
from torch import nn

from spaces.inventory import Inventory
from spaces.methods.sparta import SpartaConfiguration, choose_entries, entries_at
from trainables.methods.base import Adapter, StockForm, target_names
from trainables.sparse import SparseLayer
from trainables.stock_sparse import sparse_stock
from trainables.tuners import LinearConfig, LinearTuner, register


@dataclass
class SpartaConfig(LinearConfig):
    """⌊density · entries⌋ entries over all targets together are trained; `seed` decides which."""

    density: float = field(default=0.05, metadata={"help": "Part of the targets' entries to train."})
    seed: int = field(default=0, metadata={"help": "Seed of the random subset."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType["SPARTA"]


class SpartaLayer(SparseLayer):
    """A linear layer with some of the chosen entries."""

    adapter_layer_names = ("sparta_delta",)
    other_param_names = ("sparta_index",)


class SpartaModel(LinearTuner):
    """Draws the entries over all targets at once, so that the same model and config always give the same ones."""

    prefix = "sparta_"
    tuner_layer_cls = SpartaLayer

    def _prepare_model(self, peft_config: SpartaConfig, model: nn.Module) -> None:
        sizes = {name: layer.weight.numel() for name, layer in self.targets(peft_config, model)}
        count = entries_at(peft_config.density, sum(sizes.values()))
        chosen = choose_entries(list(sizes.values()), count, peft_config.seed) if sizes else []
        self._places = dict(zip(sizes, chosen, strict=True))

    def layer_arguments(self, name: str) -> dict[str, Any] | None:
        """Nothing for a layer in which no entry was chosen: it stays as it is."""
        places = self._places[name]
        return {"places": torch.from_numpy(places).int()} if len(places) else None


register("sparta", SpartaConfig, SpartaModel)


class Sparta(Adapter[SpartaConfiguration]):
    """Trains a fixed random subset."""

    name = "sparta"

    def peft_config(self, configuration: SpartaConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """The subset follows the configuration's own seed, so that a recipe names it."""
        return SpartaConfig(
            target_modules=target_names(configuration, inventory),
            density=configuration.density,
            seed=configuration.seed,
        )

    def stock(self, model: PeftModel, configuration: SpartaConfiguration) -> StockForm:
        """PEFT's Supertuning holds the same entries."""
        return sparse_stock(model, self.name)


ADAPTERS = (Sparta(),)
