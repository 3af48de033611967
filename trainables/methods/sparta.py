"""SpaRTA (arXiv 2502.15975) as a PEFT tuner: a fixed random subset of the entries of chosen parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from spaces.methods.base.random_subsets import Places
from spaces.methods.sparta import (
    SpartaConfiguration,
    choose_entries,
    density_for,
    drawn_from,
    entries_at,
    trained_entries,
)
from spaces.model.inventory import Inventory
from spaces.spec.sections import Quantization
from trainables.tuners.adapter import Adapter, StockForm, target_names
from trainables.tuners.base import LinearConfig, LinearTuner, tuner
from trainables.tuners.sparse.layers import SparseEmbedding, SparseLayer
from trainables.tuners.sparse.module import SparseModule
from trainables.tuners.sparse.supertuning import sparse_stock
from trainables.tuners.sparse.tied_units import BaseParameters, Unit, units


@dataclass
class SpartaConfig(LinearConfig):
    """⌊density · entries⌋ entries, drawn by `seed` over all chosen parameters together, are trained.

    The chosen parameters are the weights of `target_modules`, or those in `parameter_names`. A tied parameter stays
    tied: its deltas count in every place.
    """

    density: float = field(default=0.05, metadata={"help": "Part of the chosen parameters' entries to train."})
    seed: int = field(default=0, metadata={"help": "Seed of the random subset."})
    parameter_names: list[str] | None = field(
        default=None, metadata={"help": "Full names of the base's parameters to draw from; instead of target_modules."}
    )
    indices: str = field(
        default="stored", metadata={"help": "stored: places are saved; seed: they are drawn again when loading."}
    )
    index_hash: str | None = field(
        default=None, metadata={"help": "What the drawn places must give, where they are not saved."}
    )


class SpartaLayer(SparseLayer):
    """A linear layer with some of the chosen entries."""

    adapter_layer_names = ("sparta_delta",)
    other_param_names = ("sparta_index",)


class SpartaEmbedding(SparseEmbedding):
    """An embedding with some of the chosen entries."""

    adapter_layer_names = ("sparta_delta",)
    other_param_names = ("sparta_index",)


class SpartaModule(SparseModule):
    """Any other module with some of the chosen entries."""

    adapter_layer_names = ("sparta_delta",)
    other_param_names = ("sparta_index",)


@tuner("sparta", SpartaConfig)
class SpartaModel(LinearTuner):
    """The tuner of SpaRTA.

    It draws the entries over all parameters at once, so that the same model and config always give the same ones.
    """

    prefix = "sparta_"
    tuner_layer_cls = SparseModule
    _units: Mapping[str, Unit] = {}

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Add an adapter, and tell modules with tied parameters which other module holds the deltas."""
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        layers = {name: module for name, module in model.named_modules() if isinstance(module, SparseModule)}
        for path, unit in self._units.items():
            for name, holder, original in unit.borrowed:
                layers[path].borrow(name, layers[holder], original)

    def _prepare_adapter_config(self, peft_config: SpartaConfig, model_config: dict[str, Any]) -> SpartaConfig:
        if peft_config.parameter_names is not None:
            return peft_config
        config: SpartaConfig = super()._prepare_adapter_config(peft_config, model_config)
        return config

    def _prepare_model(self, peft_config: SpartaConfig, model: nn.Module) -> None:
        self._units = {}
        names = peft_config.parameter_names
        if names is None:
            names = [f"{name}.weight" for name, _ in self.targets(peft_config, model)]
        if not names:
            return
        parameters = BaseParameters(model)
        sizes = [parameters.named(name).numel() for name in names]
        chosen = choose_entries(sizes, entries_at(peft_config.density, sum(sizes)), peft_config.seed)
        places = dict(zip(names, chosen, strict=True))
        if peft_config.indices == "seed":
            _check_hash(peft_config, places)
        self._units = units(parameters, places)

    def _check_target_module_exists(self, peft_config: SpartaConfig, key: str) -> Any:
        if key in self._units:
            return True
        return peft_config.parameter_names is None and super()._check_target_module_exists(peft_config, key)

    def _create_and_replace(
        self,
        peft_config: SpartaConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        unit = self._units.get(current_key)
        if unit is None:  # no entry was chosen: the module stays as it is
            return
        layer = target if isinstance(target, SparseModule) else _kind(target)(target, adapter_name, unit.tied)
        if layer is not target:
            self._replace_module(parent, target_name, layer, target)
        if len(unit.places):
            layer.update_layer(adapter_name, peft_config, places=torch.from_numpy(unit.places))
        if layer is not target and adapter_name not in self.active_adapters:
            layer.requires_grad_(False)

    def _check_merge_allowed(self) -> None:
        """Allow it: PEFT's own method warns of tied embeddings, which stay tied here."""

    @classmethod
    def _get_adapter_state_dict(cls, model: nn.Module, config: SpartaConfig, **kwargs: Any) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._get_adapter_state_dict(model=model, config=config, **kwargs)
        if config.indices == "stored":
            return state
        return {name: tensor for name, tensor in state.items() if ".sparta_index." not in name}

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: SpartaConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        if config.indices == "stored":
            return state
        drawn = {name: one for name, one in model.named_buffers() if name.endswith(f".sparta_index.{adapter_name}")}
        return drawn | state


def _kind(module: nn.Module) -> type[SparseModule]:
    if isinstance(module, nn.Linear | Conv1D):
        return SpartaLayer
    return SpartaEmbedding if isinstance(module, nn.Embedding) else SpartaModule


def _check_hash(config: SpartaConfig, places: Mapping[str, Places]) -> None:
    digest = hashlib.blake2b(digest_size=8)
    for name, chosen in places.items():
        digest.update(f"{name} {len(chosen)} ".encode() + chosen.astype("<i4").tobytes())
    found = digest.hexdigest()
    if config.index_hash not in (None, found):
        raise ValueError(
            f"seed = {config.seed} draws other entries here (hash {found}) than where the adapter was trained (hash "
            f"{config.index_hash}): the base or the targets differ"
        )
    config.index_hash = found


class Sparta(Adapter[SpartaConfiguration]):
    """A fixed random subset of entries."""

    name = "sparta"

    def refusal(self, quantization: Quantization, inventory: Inventory) -> str | None:
        """Return the reason."""
        return "it overwrites entries of the weight, and the numbers of a quantised one share a scale"

    def peft_config(self, configuration: SpartaConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Draw the subset by the configuration's own seed, so that a recipe names it.

        Every way of selection is uniform among the subsets of a size, so size and seed determine the subset.
        """
        drawn = drawn_from(configuration, inventory)
        of_weights = configuration.parameters == "weights"
        return SpartaConfig(
            target_modules=target_names(configuration, inventory) if of_weights else None,
            parameter_names=None if of_weights else [one.name for one in drawn],
            density=density_for(trained_entries(configuration, inventory), sum(one.size for one in drawn)),
            seed=configuration.seed,
            indices=configuration.indices,
        )

    def stock(self, model: PeftModel, configuration: SpartaConfiguration) -> StockForm:
        """Return PEFT's Supertuning with the same entries."""
        return sparse_stock(model, self.name)


ADAPTERS = (Sparta(),)
