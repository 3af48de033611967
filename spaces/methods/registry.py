"""The methods by name: those in `spaces/methods`, and those of other packages (`spaces.entry_points`)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Any

from spaces import methods as package
from spaces.entry_points import with_installed
from spaces.methods.base.method import AnyMethod, Configuration, Method

GROUP = "paretune.methods"


@cache
def methods() -> dict[str, AnyMethod]:
    """Return every method by its name, in alphabetical order.

    Raises:
        RequestError: when a package that brings methods is broken.
    """
    return dict(sorted(with_installed(_built_in(), GROUP, "METHODS", Method).items()))


def _built_in() -> Iterator[AnyMethod]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield from getattr(importlib.import_module(module.name), "METHODS", ())


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
