"""The registry of tuners by method. A module in `trainables/methods` joins it by a tuple `ADAPTERS`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from trainables import methods as package
from trainables.tuners.adapter import AnyAdapter


@cache
def adapters() -> dict[str, AnyAdapter]:
    """Return every tuner by the name of its method. The first call registers our own tuners with PEFT."""
    found: dict[str, AnyAdapter] = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for adapter in getattr(importlib.import_module(module.name), "ADAPTERS", ()):
            found[adapter.name] = adapter
    return found
