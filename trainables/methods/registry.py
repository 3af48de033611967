"""The tuners by the name of their method. A new one is found by standing in `trainables/methods`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from trainables import methods as package
from trainables.tuners.adapter import AnyAdapter


@cache
def adapters() -> dict[str, AnyAdapter]:
    """Every tuner by the name of its method. Importing them registers our own tuners with PEFT."""
    found: dict[str, AnyAdapter] = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for adapter in getattr(importlib.import_module(module.name), "ADAPTERS", ()):
            found[adapter.name] = adapter
    return found
