"""Parameters tied between layers: one `nn.Parameter` in several places, trained once and saved once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables.tuners.base import AdaptedLinear, LinearTuner

Store = dict[Hashable, nn.Parameter]
"""The tied parameters of one adapter, by any key."""


class TiedLayer(AdaptedLinear):
    """A linear layer whose adapters hold parameters that other layers hold too, from one `Store`."""

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.tied: dict[str, tuple[Store, dict[str, Hashable]]] = {}

    def tie(self, adapter_name: str, store: Store, attribute: str, key: Hashable, make: Callable[[], Tensor]) -> None:
        """Hold the parameter `key` of `store` under the adapter's name in the dictionary `attribute`.

        Args:
            adapter_name: the adapter.
            store: the tied parameters of the adapter.
            attribute: the name of a `ParameterDict` of this layer.
            key: the parameter's key in `store`.
            make: makes the value; called by the first layer that asks for `key`.
        """
        _, keys = self.tied.setdefault(adapter_name, (store, {}))
        keys[attribute] = key
        if key not in store:
            store[key] = nn.Parameter(make())
        entries: nn.ParameterDict = getattr(self, attribute)
        entries[adapter_name] = store[key]
        if entries[adapter_name] is not store[key]:  # PEFT makes empty adapters on the meta device: tied when loaded
            del store[key]

    def delete_adapter(self, adapter_name: str) -> None:
        """Delete an adapter."""
        self.tied.pop(adapter_name, None)
        super().delete_adapter(adapter_name)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """Tie again: PEFT calls this after it has filled an empty adapter with parameters of its own."""
        super()._move_adapter_to_device_of_base_layer(adapter_name, device)
        store, keys = self.tied.get(adapter_name, ({}, {}))
        for attribute, key in keys.items():
            entries: nn.ParameterDict = getattr(self, attribute)
            if store.setdefault(key, entries[adapter_name]) is not entries[adapter_name]:
                entries[adapter_name] = store[key]


class TiedTuner(LinearTuner):
    """A tuner of `TiedLayer`s. A tied parameter is saved under the name that it has in the first of its layers."""

    def _prepare_model(self, peft_config: PeftConfig, model: nn.Module) -> None:
        self._store: Store = {}

    @classmethod
    def _get_adapter_state_dict(
        cls, model: nn.Module, config: PeftConfig, adapter_name: str, *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._get_adapter_state_dict(model, config, adapter_name, *args, **kwargs)
        first = _first_names(model, adapter_name)
        return {name: tensor for name, tensor in state.items() if first.get(name, name) == name}

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: PeftConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        first = _first_names(model, adapter_name)
        return {**state, **{name: state[one] for name, one in first.items() if one in state}}


def _first_names(model: nn.Module, adapter_name: str) -> dict[str, str]:
    """Return, for every name of a tied parameter, the first name that it has."""
    owners: dict[Hashable, str] = {}
    names: dict[str, str] = {}
    for path, module in model.named_modules():
        if isinstance(module, TiedLayer) and adapter_name in module.tied:
            for attribute, key in module.tied[adapter_name][1].items():
                name = f"{path}.{attribute}.{adapter_name}"
                names[name] = owners.setdefault((attribute, key), name)
    return names
