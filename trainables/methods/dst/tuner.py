"""Dynamic Subset Tuning (arXiv 2411.08610) as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from torch import nn

from spaces.methods.dst import DstConfiguration, shares, silos
from spaces.methods.sparta import choose_entries, entries_at
from spaces.model.inventory import Inventory, select
from spaces.spec.sections import Quantization
from trainables.methods.dst.layer import SubsetLayer
from trainables.methods.dst.reselection import Reselection
from trainables.methods.dst.schedule import Schedule, Silo
from trainables.tuners.adapter import Adapter, StockForm, target_names
from trainables.tuners.base import LinearConfig, LinearTuner, tuner
from trainables.tuners.sparse.supertuning import sparse_stock


@dataclass
class DstConfig(LinearConfig):
    """In every silo of |S| entries ⌊density · |S|⌋ differ from the pretrained values."""

    density: float = field(default=0.005, metadata={"help": "Part of each silo's entries that may differ."})
    silos: list[list[str]] | None = field(
        default=None,
        metadata={"help": "The targets' full names, silo by silo; left out: every target is a silo of its own."},
    )
    seed: int = field(default=0, metadata={"help": "Seed of the subset before the first reselection."})


class DstLayer(SubsetLayer):
    """A linear layer with a subset of its entries."""

    adapter_layer_names = ("dst_delta",)
    other_param_names = ("dst_index",)


@tuner("dst", DstConfig)
class DstModel(LinearTuner):
    """The tuner of DST. It starts from a random subset, and keeps it unless `Reselection` changes it."""

    prefix = "dst_"
    tuner_layer_cls = DstLayer

    def _prepare_model(self, peft_config: DstConfig, model: nn.Module) -> None:
        sizes = {name: layer.weight.numel() for name, layer in self.targets(peft_config, model)}
        grouped = peft_config.silos or [[name] for name in sizes]
        if sorted(name for silo in grouped for name in silo) != sorted(sizes):
            raise ValueError(f"silos: they must hold every target once; the targets: {', '.join(sizes)}")
        self._places = {}
        for silo in grouped:
            entries = entries_at(peft_config.density, sum(sizes[name] for name in silo))
            for name, share in zip(silo, shares([sizes[name] for name in silo], entries), strict=True):
                (chosen,) = choose_entries([sizes[name]], share, peft_config.seed)
                if entries:
                    self._places[name] = torch.from_numpy(chosen).int()

    def layer_arguments(self, name: str) -> dict[str, Any] | None:
        """Return the places of the first subset; None for a weight whose silo is too small for the density."""
        return {"places": self._places[name]} if name in self._places else None


class Dst(Adapter[DstConfiguration]):
    """The entries that moved farthest."""

    name = "dst"
    moves_state = True

    def refusal(self, quantization: Quantization, inventory: Inventory) -> str | None:
        """Return the reason."""
        return "it overwrites entries of the weight, and the numbers of a quantised one share a scale"

    def peft_config(self, configuration: DstConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Group the targets into silos; the training's seed draws the first subset."""
        grouped = silos(configuration, select(inventory, configuration.targets, configuration.layers))
        return DstConfig(
            target_modules=target_names(configuration, inventory),
            density=configuration.density,
            silos=None if configuration.silo == "tensor" else [[one.name for one in silo] for silo in grouped],
            seed=seed,
        )

    def hooks(
        self, model: PeftModel, configuration: DstConfiguration, optimizer: torch.optim.Optimizer, total_steps: int
    ) -> Reselection:
        """Return the reselection on the configuration's schedule."""
        adapter = model.active_adapter
        return Reselection(
            silos_of(model, adapter),
            adapter,
            optimizer,
            Schedule(
                configuration.reselection_interval,
                max(1, int(configuration.reselection_end * total_steps)),
                configuration.density_decay,
            ),
            distance=configuration.distance,
            clear=configuration.reset_state == "clear",
        )

    def stock(self, model: PeftModel, configuration: DstConfiguration) -> StockForm:
        """Return PEFT's Supertuning with the same entries."""
        return sparse_stock(model, self.name)


def silos_of(model: PeftModel, adapter: str) -> list[Silo]:
    """Return the silos of an adapter in `model`."""
    config: DstConfig = model.peft_config[adapter]
    layers = {
        name: module
        for name, module in model.get_base_model().named_modules()
        if isinstance(module, DstLayer) and adapter in module.deltas
    }
    grouped = config.silos or [[name] for name in layers]
    return [Silo({name: layers[name] for name in silo}, config.density) for silo in grouped if silo[0] in layers]


ADAPTERS = (Dst(),)
