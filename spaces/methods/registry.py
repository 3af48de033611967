"""The registry of methods by name: those of every tuple `METHODS` in the modules of `spaces/methods`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from spaces import methods as package
from spaces.methods.base.method import AnyMethod, Configuration


@cache
def methods() -> dict[str, AnyMethod]:
    """Return every method by its name, in alphabetical order."""
    found: dict[str, AnyMethod] = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for method in getattr(importlib.import_module(module.name), "METHODS", ()):
            found[method.name] = method
    return dict(sorted(found.items()))


def method(name: str) -> AnyMethod:
    """Return the method called `name`.

    Raises:
        ValueError: when there is none.
    """
    if name not in methods():
        raise ValueError(f"unknown method {name!r}; allowed: {', '.join(methods())}")
    return methods()[name]


def configuration(name: str, settings: dict[str, Any]) -> Configuration:
    """Return the configuration of method `name` with `settings`, and defaults for those that are left out."""
    built: Configuration = method(name).configuration(**settings)
    return built
