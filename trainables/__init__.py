"""One configuration, trained: methods in torch, data, the loop, the Ray trainable; exports, written and verified."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.adapters.load_adapter import load_adapter
    from trainables.methods.registry import register_tuners

_MODULES = {
    "load_adapter": "trainables.adapters.load_adapter",
    "register_tuners": "trainables.methods.registry",
}

__all__ = ["load_adapter", "register_tuners"]

# Of kernels that it would download as PEFT is imported, and of every product in 8 bits; users cannot act on either.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

if not TYPE_CHECKING:  # so that a checker refuses names that are not there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used, so that importing the package loads nothing."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
