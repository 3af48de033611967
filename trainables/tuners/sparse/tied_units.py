"""The modules of a model that hold chosen entries of its parameters, tied parameters included."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from spaces.methods.base.random_subsets import Places
from trainables.tuners.sparse.in_place import Owner

_LARGEST = 2**31 - 1


class BaseParameters:
    """The parameters of a model and its adapted modules, under the names that they had before any was adapted."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._named = {
            name.replace(".base_layer.", "."): parameter
            for name, parameter in model.named_parameters(remove_duplicate=False)
        }
        self.adapted = {
            name.replace(".base_layer.", ".")
            for name, module in model.named_modules()
            if "base_layer" in module._modules
        }
        self._names: dict[int, list[str]] = {}
        for name, parameter in self._named.items():
            self._names.setdefault(id(parameter), []).append(name)

    def named(self, name: str) -> nn.Parameter:
        """Return a parameter.

        Raises:
            ValueError: when none has that name.
        """
        if name not in self._named:
            raise ValueError(f"parameter_names: the model has no parameter {name}")
        return self._named[name]

    def names(self, parameter: nn.Parameter) -> list[str]:
        """Return all names of a parameter, several if it is tied."""
        return self._names[id(parameter)]

    def module(self, path: str) -> nn.Module:
        """Return the module of the base at `path`."""
        module = self.model.get_submodule(path)
        return module.get_submodule("base_layer") if "base_layer" in module._modules else module

    def owners(self, parameter: nn.Parameter) -> list[Owner]:
        """Return the modules that hold a parameter, each with its name there."""
        split = (name.rpartition(".") for name in self.names(parameter))
        return [(self.module(path), leaf) for path, _, leaf in split]


@dataclass
class Unit:
    """A module to adapt.

    Attributes:
        places: ascending flat indices into its parameters, laid out one after another.
        tied: the owners of each tied parameter, by its name in the module.
        borrowed: for each parameter tied to one of another module that holds its deltas: its name here, the path of
            that module, and its name there.
    """

    places: Places = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    tied: dict[str, list[Owner]] = field(default_factory=dict)
    borrowed: list[tuple[str, str, str]] = field(default_factory=list)


def units(parameters: BaseParameters, places: Mapping[str, Places]) -> dict[str, Unit]:
    """Return the modules to adapt, by path, for the places chosen in each parameter.

    A unit is a module that owns a chosen parameter, alone or tied to another's. If such a module contains another, both
    are one unit, because adapted modules do not nest.

    Raises:
        ValueError: when a parameter belongs to no module but the model itself, a module is too large for int32, or
            another adapter is on a module inside.
    """
    chosen = {name: here for name, here in places.items() if len(here)}
    owners = {path for name in chosen for path in _paths(parameters, name)} | parameters.adapted
    found: dict[str, Unit] = {}
    for name, here in chosen.items():
        home, *others = dict.fromkeys(_outermost(path, owners) for path in _paths(parameters, name))
        _add(found.setdefault(home, _unit(parameters, home)), parameters, home, name, here)
        original = _inner_name(parameters, home, name)
        for path in others:
            unit = found.setdefault(path, _unit(parameters, path))
            unit.borrowed.append((_inner_name(parameters, path, name), home, original))
    for path, unit in found.items():
        if any(one.startswith(f"{path}.") for one in parameters.adapted):
            raise ValueError(f"{path} is to be adapted as a whole, but an adapter has a module inside it already")
        unit.places.sort()
    return found


def _paths(parameters: BaseParameters, name: str) -> list[str]:
    """Return the paths of the modules that own the parameter, that in `name` first."""
    names = dict.fromkeys([name, *parameters.names(parameters.named(name))])
    paths = [one.rpartition(".")[0] for one in names]
    if "" in paths:
        raise ValueError(f"parameter {name} belongs to the model itself and cannot be adapted alone")
    return paths


def _outermost(path: str, owners: Collection[str]) -> str:
    parts = path.split(".")
    return next(one for end in range(1, len(parts) + 1) if (one := ".".join(parts[:end])) in owners)


def _unit(parameters: BaseParameters, path: str) -> Unit:
    own = parameters.module(path).named_parameters()
    tied = {name: parameters.owners(one) for name, one in own if len(parameters.names(one)) > 1}
    return Unit(tied=tied)


def _inner_name(parameters: BaseParameters, path: str, name: str) -> str:
    wanted = parameters.named(name)
    return next(inner for inner, one in parameters.module(path).named_parameters() if one is wanted)


def _add(unit: Unit, parameters: BaseParameters, path: str, name: str, here: Places) -> None:
    wanted, start = parameters.named(name), 0
    for _, one in parameters.module(path).named_parameters():
        if one is wanted:
            break
        start += one.numel()
    if start + wanted.numel() > _LARGEST:
        raise ValueError(f"{path} has more entries than int32 indices can name")
    unit.places = np.concatenate([unit.places, here + np.int32(start)])
