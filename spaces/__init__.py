"""The search space: specs, budgets, layer inventories, exact counts, fronts. Imports no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spaces.errors import RequestError, WorkError
    from spaces.spec.spec import SearchSpec, load_spec

_MODULES = {
    "RequestError": "spaces.errors",
    "SearchSpec": "spaces.spec.spec",
    "WorkError": "spaces.errors",
    "load_spec": "spaces.spec.spec",
}

__all__ = ["RequestError", "SearchSpec", "WorkError", "load_spec"]

if not TYPE_CHECKING:  # so that a checker refuses names that are not there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used, so that importing the package loads nothing."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
