"""Full fine-tuning as a PEFT tuner: the base's modules are replaced by private copies that train."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor, nn

from spaces.methods.full import FullConfiguration
from spaces.model.inventory import Inventory
from spaces.spec.sections import Quantization
from trainables.tuners.adapter import Adapter
from trainables.tuners.base import Transparent, Tuner, TunerConfig, tuner
from trainables.tuners.float32_modules import cast


@dataclass
class FullConfig(TunerConfig):
    """All modules but those to save are trained.

    PEFT's own `target_modules` stays empty: PEFT would save embeddings named there a second time.
    """

    target_modules: list[str] | None = field(default=None, metadata={"help": "Not used."})


class WholeModule(Transparent):
    """A module, and for each adapter a float32 copy that takes its place."""

    adapter_layer_names = ("full_copy",)
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.full_copy = nn.ModuleDict()
        self._type = next(base_layer.parameters()).dtype

    def update_layer(self, adapter_name: str, config: PeftConfig, memo: dict[int, Any]) -> None:
        """Add a copy. One `memo` for all layers keeps tied weights one parameter."""
        self.full_copy[adapter_name] = copy.deepcopy(self.base_layer, memo).float()
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def in_use(self) -> nn.Module:
        """Return the copy of the merged or active adapter, or the module itself.

        Raises:
            ValueError: when several adapters are active: whole copies do not add up.
        """
        wanted = [] if self.disable_adapters else self.merged_adapters or self.active_adapters
        names = [name for name in wanted if name in self.full_copy]
        if len(names) > 1:
            raise ValueError(f"full adapters exclude each other; active: {', '.join(names)}")
        return self.full_copy[names[0]] if names else super().in_use()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module in use. A copy computes in float32, whatever the type around it."""
        if self.disable_adapters and self.merged_adapters:
            self.unmerge()
        module = self.in_use()
        if module is self.base_layer or self._type == torch.float32:
            return module(*args, **kwargs)
        args, kwargs = cast((args, kwargs), torch.float32)
        return cast(module(*args, **kwargs), self._type)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Let a copy take the module's place until `unmerge`. The module is never written.

        Raises:
            ValueError: when `safe_merge` finds a parameter that is not finite.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.full_copy]
        for name in names:
            if safe_merge and not all(one.isfinite().all() for one in self.full_copy[name].parameters()):
                raise ValueError(f"adapter {name} has parameters that are not finite")
        self.merged_adapters.extend(names)

    def unmerge(self) -> None:
        """Give the module its place back."""
        self.merged_adapters.clear()

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool, adapter_names: list[str] | None
    ) -> nn.Module:
        """Return the copy in the module's type, or the module itself."""
        if not merge:
            return super().in_use()
        self.merge(safe_merge, adapter_names)
        return self.in_use().to(self._type)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """Do nothing: a copy is on the module's device already, and PEFT's own method would also cast it."""


@tuner("full", FullConfig)
class FullModel(Tuner):
    """The tuner of full fine-tuning.

    It wraps the largest modules that hold no module to save. Tied parameters stay tied, and are saved once.
    """

    prefix = "full_"
    tuner_layer_cls = WholeModule

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Add an adapter, with one memo of copied tensors for all its layers."""
        self._memo: dict[int, Any] = {}
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        del self._memo  # it holds raw storages, which `torch.save` refuses beside the tensors in them

    def _prepare_adapter_config(self, peft_config: FullConfig, model_config: dict[str, Any]) -> FullConfig:
        return peft_config

    def _prepare_model(self, peft_config: FullConfig, model: nn.Module) -> None:
        self._whole = set(whole_modules(model, peft_config.modules_to_save or ()))

    def _check_target_module_exists(self, peft_config: FullConfig, key: str) -> bool:
        return key in self._whole

    def layer_arguments(self, name: str) -> dict[str, Any]:
        """Return the common memo, so that tied weights stay one parameter."""
        return {"memo": self._memo}

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        """Do nothing: the copies are float32 already, and PEFT's own method would untie them."""

    def _check_merge_allowed(self) -> None:
        """Allow it: PEFT's own method warns of tied embeddings, which stay tied here."""

    @classmethod
    def _get_adapter_state_dict(cls, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._get_adapter_state_dict(*args, **kwargs)
        return {names[0]: state[names[0]] for names in _names_by_storage(state)}

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: FullConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        for names in _names_by_storage(model.state_dict()):
            given = [name for name in names if name in state]
            state.update({name: state[given[0]] for name in names if given})
        return state


def whole_modules(module: nn.Module, apart: Collection[str], prefix: str = "") -> Iterator[str]:
    """Yield the names of the largest modules with parameters in `module` that hold none of the modules `apart`."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        inner = [f"{path}.{one}".rstrip(".") for one, _ in child.named_modules()]
        if _is_apart(path, apart) or next(child.parameters(), None) is None:
            continue
        if isinstance(child, WholeModule) or not any(_is_apart(one, apart) for one in inner):
            yield path
        else:
            yield from whole_modules(child, apart, f"{path}.")


def _is_apart(path: str, apart: Collection[str]) -> bool:
    return any(path == name or path.endswith(f".{name}") for name in apart)


def _names_by_storage(state: dict[str, Tensor]) -> list[list[str]]:
    """Return the names in `state`, grouped by tensor: those of one tied tensor together."""
    names: dict[tuple[int, torch.Size], list[str]] = {}
    for name, tensor in state.items():
        names.setdefault((tensor.data_ptr(), tensor.shape), []).append(name)
    return list(names.values())


class Full(Adapter[FullConfiguration]):
    """All parameters of the base."""

    name = "full"

    def refusal(self, quantization: Quantization, inventory: Inventory) -> str | None:
        """Return the reason."""
        return "all weights train, and quantised ones are integers, which have no gradient"

    def peft_config(self, configuration: FullConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Return the config, which has no settings."""
        return FullConfig()


ADAPTERS = (Full(),)
