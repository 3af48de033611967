"""The modules that BitFit and LN tuning adapt: those that hold the parameters which are to train."""

from __future__ import annotations

from typing import Any

from spaces.methods._own_parameters import OwnParameters, OwnParametersConfiguration
from spaces.model.inventory import Inventory


def owners(method: OwnParameters[Any], configuration: OwnParametersConfiguration, inventory: Inventory) -> list[str]:
    """Return the full names of the modules that hold the chosen parameters, each once, in the model's order."""
    chosen = method.parameters(configuration, inventory)
    return list(dict.fromkeys(one.name.rpartition(".")[0] for one in chosen))
