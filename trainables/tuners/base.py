"""Base classes of our tuners: their configs, adapted modules, and the tuners that put them into a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import torch
from aenum import extend_enum
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, _maybe_include_all_linear_layers
from peft.utils import PeftType, register_peft_method
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables.base_model.identity import Identity, base_identity, check_base

M = TypeVar("M", bound=BaseTuner)


def tuner(name: str, config: type[PeftConfig]) -> Callable[[type[M]], type[M]]:
    """Return a decorator that makes a tuner class the PEFT method `name`, configured by `config`.

    Objects of `config` have the `peft_type` of the method. Registering a name again changes nothing.

    Example:
        >>> @tuner("melora", MeLoraConfig)
        ... class MeLoraModel(LinearTuner):
        ...     prefix = "melora_"
        ...     tuner_layer_cls = MeLoraLayer
    """

    def decorate(model: type[M]) -> type[M]:
        member = name.upper()
        if member not in PeftType.__members__:
            extend_enum(PeftType, member, member)
        if PeftType[member] not in PEFT_TYPE_TO_TUNER_MAPPING:
            register_peft_method(name=name, config_cls=config, model_cls=model, prefix=model.prefix)
        _set_type(config, PeftType[member])
        return model

    return decorate


def _set_type(config: type[PeftConfig], peft_type: PeftType) -> None:
    """Give every new object of `config` this `peft_type`, as PEFT's own configs do in `__post_init__`."""
    inherited = config.__post_init__

    def post_init(self: PeftConfig) -> None:
        inherited(self)
        self.peft_type = peft_type

    config.__post_init__ = post_init


@dataclass
class TunerConfig(PeftConfig):  # type: ignore[misc]
    """Settings that all our tuners have."""

    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Modules trained whole and saved beside the adapter: the task head."}
    )
    base: Identity | None = field(
        default=None, metadata={"help": "The base that the adapter belongs to; set where it is left out."}
    )


@dataclass
class LinearConfig(TunerConfig):
    """Settings of a tuner that adapts chosen linear layers."""

    target_modules: list[str] | str | None = field(
        default=None, metadata={"help": "Names of the linear layers to adapt, or a pattern that matches all of a name."}
    )


class AdaptedModule(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A module with adapters. Subclasses define an adapter, and name the dictionaries that hold its parts."""

    # The first two are set by subclasses, the others come from PEFT's mixin.
    adapter_layer_names: ClassVar[tuple[str, ...]]
    other_param_names: ClassVar[tuple[str, ...]]
    active_adapters: list[str]
    set_adapter: Callable[..., None]

    def __init__(self, base_layer: nn.Module, adapter_name: str) -> None:
        nn.Module.__init__(self)
        self.base_layer: Any = base_layer
        self.merged_adapters: list[str] = []
        self._active_adapter = [adapter_name]

    @property
    def device(self) -> torch.device:
        """The device of the base module."""
        first: nn.Parameter = next(self.base_layer.parameters())
        return first.device

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """Move the adapter without a cast: PEFT's own method casts to the base's type, which would round float32."""
        for name in (*self.adapter_layer_names, *self.other_param_names):
            entries = getattr(self, name)
            if adapter_name in entries and isinstance(entries[adapter_name], Tensor | nn.Module):
                entries[adapter_name] = entries[adapter_name].to(device or self.device)


class Transparent(AdaptedModule):
    """An adapted module that passes attribute access on to the wrapped one, because models reach into their parts."""

    def in_use(self) -> nn.Module:
        """Return the module that computes."""
        module: nn.Module = self.base_layer
        return module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "base_layer" not in self.__dict__.get("_modules", {}):
                raise
            return getattr(self.in_use(), name)


class AdaptedLinear(AdaptedModule):
    """A linear layer with adapters. Subclasses define an adapter.

    `base_layer` is an `nn.Linear`, with a weight of (out, in), or a `Conv1D`, with a weight of (in, out).
    """

    base_layer: nn.Linear | Conv1D

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        if not isinstance(base_layer, nn.Linear | Conv1D):
            raise TypeError(f"{type(base_layer).__name__} is not a linear layer; allowed: Linear, Conv1D")
        super().__init__(base_layer, adapter_name)
        self.transposed = isinstance(base_layer, Conv1D)
        # The shape of the weight may not tell: that of a quantised base is packed.
        out_features, in_features = ("nf", "nx") if self.transposed else ("out_features", "in_features")
        self.out_features: int = getattr(base_layer, out_features)
        self.in_features: int = getattr(base_layer, in_features)

    @abstractmethod
    def update_layer(self, adapter_name: str, config: Any, **kwargs: Any) -> None:
        """Add an adapter called `adapter_name`."""

    def active(self, candidates: Any) -> list[str]:
        """Return the active adapters among `candidates`, a dictionary by adapter."""
        return [name for name in self.active_adapters if name in candidates]


class Tuner(BaseTuner):  # type: ignore[misc]
    """Base of all our tuners. Its configs are `TunerConfig`s."""

    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Add an adapter to the base that it belongs to.

        Raises:
            ValueError: when its config says that it was trained on another base.
        """
        config = self.peft_config[adapter_name]
        found = base_identity(model, config.modules_to_save or ())
        check_base(config.base or found, found)
        config.base = found
        super().inject_adapter(model, adapter_name, *args, **kwargs)

    def layer_arguments(self, name: str) -> dict[str, Any] | None:
        """Return arguments of `update_layer` beside the config for the target `name`; None leaves the target alone."""
        return {}

    def wrap(self, target: nn.Module, adapter_name: str, name: str) -> Any:
        """Return the layer around `target`, which has none yet; `name` is the target's full name."""
        return self.tuner_layer_cls(target, adapter_name)

    def _create_and_replace(
        self,
        peft_config: TunerConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        arguments = self.layer_arguments(current_key)
        if arguments is None:
            return
        if isinstance(target, self.tuner_layer_cls):
            target.update_layer(adapter_name, peft_config, **arguments)
            return
        layer = self.wrap(target, adapter_name, current_key)
        layer.update_layer(adapter_name, peft_config, **arguments)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        """Set the new module. PEFT's own method also copies `child.weight`, which a module such as a head may lack."""
        setattr(parent, child_name, new_module)


class LinearTuner(Tuner):
    """A tuner that puts `tuner_layer_cls`, an `AdaptedLinear`, around every target."""

    def targets(self, config: LinearConfig, model: nn.Module) -> Iterator[tuple[str, nn.Linear | Conv1D]]:
        """Yield the linear layers to adapt with their names, in the model's order."""
        config = _maybe_include_all_linear_layers(config, model)
        for name, module in model.named_modules():
            layer = module.base_layer if isinstance(module, AdaptedLinear) else module
            if isinstance(layer, nn.Linear | Conv1D) and self._check_target_module_exists(config, name):
                yield name, layer
