"""The tuners by their method's name: those in `trainables/methods`, and those of other packages."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from functools import cache

from spaces.entry_points import with_installed
from spaces.errors import RequestError
from spaces.model.inventory import Inventory
from spaces.spec.sections import Quantization
from trainables import methods as package
from trainables.tuners.adapter import Adapter, AnyAdapter

GROUP = "paretune.adapters"


def register_tuners() -> None:
    """Make PEFT know paretune's own tuners, so that `PeftModel.from_pretrained` loads their adapters.

    Raises:
        RequestError: when a package that brings methods is broken.
    """
    adapters()


def check_tuners(methods: Iterable[str]) -> None:
    """Refuse methods that can be counted and not trained: a package brings their count alone.

    Raises:
        RequestError: naming the method.
    """
    for name in methods:
        if name not in adapters():
            raise RequestError(f"methods.{name}: has no tuner; allowed: a package with an entry point in {GROUP}")


def check_quantised(quantization: Quantization | None, methods: Iterable[str], inventory: Inventory) -> None:
    """Refuse methods that cannot adapt the quantised layers of a model.

    Raises:
        RequestError: naming the method and the reason.
    """
    for name in methods if quantization is not None else ():
        reason = adapters()[name].refusal(quantization, inventory) if quantization is not None else None
        if reason is not None:
            raise RequestError(
                f"methods.{name}: cannot adapt a base in {quantization}: {reason}; allowed: other methods, or without "
                "model.quantization"
            )


@cache
def adapters() -> dict[str, AnyAdapter]:
    """Return every tuner by the name of its method. Importing them registers our own tuners with PEFT.

    Raises:
        RequestError: when a package that brings methods is broken.
    """
    return with_installed(_built_in(), GROUP, "ADAPTERS", Adapter)


def _built_in() -> Iterator[AnyAdapter]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield from getattr(importlib.import_module(module.name), "ADAPTERS", ())
