"""The PEFT tuner and the adapter that SURM's families (arXiv 2406.17740) inherit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

import torch
from peft import PeftConfig, PeftModel
from torch import Tensor, nn

from spaces.methods._surm import SurmConfiguration, surm_layers
from spaces.model.inventory import Inventory
from trainables.methods.surm.layer import SurmConfig, SurmLayer
from trainables.methods.surm.placement import PlacedLayer
from trainables.tuners.adapter import Adapter, NoStockForm, StockForm, method_settings
from trainables.tuners.base import LinearTuner


class SurmModel(LinearTuner):
    """A tuner of `SurmLayer`s.

    It ships s, and r₂ of families that need only the product, multiplied into the first factor. Loading sets them to 1.
    """

    tuner_layer_cls: type[SurmLayer]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.prefix = cls.tuner_layer_cls.prefix

    def _prepare_model(self, peft_config: SurmConfig, model: nn.Module) -> None:
        self._generator = torch.Generator().manual_seed(peft_config.seed)

    def layer_arguments(self, name: str) -> dict[str, Any] | None:
        """Return one generator for all layers, which draw from it in the model's order."""
        return {"generator": self._generator}

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Merge the active adapters, or those named, into the weights, until they are unmerged.

        Raises:
            RequestError: before any weight is changed, when an adapter is behind the weights.
        """
        self._check_placements(adapter_names)
        super().merge_adapter(adapter_names, safe_merge)

    def merge_and_unload(
        self, progressbar: bool = False, safe_merge: bool = False, adapter_names: list[str] | None = None
    ) -> nn.Module:
        """Return the base with the active adapters, or those named, in its weights.

        Raises:
            RequestError: before any weight is changed, when an adapter is behind the weights.
        """
        self._check_placements(adapter_names)
        plain: nn.Module = super().merge_and_unload(progressbar, safe_merge, adapter_names)
        return plain

    def _check_placements(self, adapter_names: list[str] | None) -> None:
        for layer in self.model.modules():
            if isinstance(layer, PlacedLayer):
                layer.check_mergeable(adapter_names)

    @classmethod
    def _folded(cls, config: SurmConfig) -> list[str]:
        """Return the names of the parameters that are shipped within the first factor, in order of multiplication."""
        scale = ["scale"] if config.trainable_alpha else []
        second = ["second"] if cls.tuner_layer_cls.ships_product else []
        return [f".{cls.prefix}{name}." for name in scale + second]

    @classmethod
    def _get_adapter_state_dict(cls, *args: Any, config: SurmConfig, **kwargs: Any) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._get_adapter_state_dict(*args, config=config, **kwargs)
        first, folded = f".{cls.prefix}first.", cls._folded(config)
        shipped = {}
        for name, tensor in state.items():
            if first in name:
                for other in folded:
                    tensor = tensor * state[name.replace(first, other)]
            if not any(other in name for other in folded):
                shipped[name] = tensor
        return shipped

    @classmethod
    def _remap_adapter_state_dict_for_load(cls, *args: Any, config: SurmConfig, **kwargs: Any) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(*args, config=config, **kwargs)
        first = f".{cls.prefix}first."
        ones = {
            name.replace(first, other): tensor.new_ones(tensor.shape if "second" in other else 1)
            for name, tensor in state.items()
            if first in name
            for other in cls._folded(config)
        }
        return {**state, **ones}


C = TypeVar("C", bound=SurmConfiguration)


class SurmAdapter(Adapter[C]):
    """A method of SURM. The fields of its `config` have the names of the settings in `spaces`."""

    config: ClassVar[type[SurmConfig]]

    def peft_config(self, configuration: C, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the chosen layers; the training's seed draws the random factors."""
        return self.config(
            target_modules=[layer.name for layer in surm_layers(configuration, inventory)],
            seed=seed,
            **method_settings(configuration),
        )

    def stock(self, model: PeftModel, configuration: C) -> StockForm:
        """Return the trained adapter as one of PEFT's own tuners.

        Raises:
            NoStockForm: naming the layer or the setting, when there is no such form.
        """
        if configuration.placement == "adapter":
            raise NoStockForm("placement = adapter: PEFT has no equal form; allowed: placement = lora")
        adapter = model.active_adapter
        layers = dict(adapted_layers(model))
        for name, layer in layers.items():
            if layer.transposed:
                raise NoStockForm(f"{name}: PEFT's form takes Linear layers alone, and this is a Conv1D")
        config, tensors = self.stock_form(layers, adapter)
        own = model.peft_config[adapter]
        config.target_modules = set(layers)
        config.task_type, config.modules_to_save = own.task_type, own.modules_to_save
        config.base_model_name_or_path, config.inference_mode = own.base_model_name_or_path, own.inference_mode
        return StockForm(config, {f"base_model.model.{name}": tensor for name, tensor in tensors.items()})

    def stock_form(self, layers: dict[str, SurmLayer], adapter: str) -> tuple[PeftConfig, dict[str, Tensor]]:
        """Return PEFT's config and tensors for updates beside `nn.Linear` layers; names come without PEFT's prefix.

        Raises:
            NoStockForm: naming the layer or the setting, when there is no such form.
        """
        raise NoStockForm(f"{self.name}: PEFT has no equal form of {next(iter(layers))}")


def adapted_layers(model: PeftModel) -> Iterator[tuple[str, SurmLayer]]:
    """Yield the layers of the active adapter with their names in the base."""
    for name, module in model.base_model.model.named_modules():
        if isinstance(module, SurmLayer) and model.active_adapter in module.part("first"):
            yield name, module
