"""MLflow, without Ray and without torch: write runs, read fronts, fetch adapters, draw plots."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracking.lookup import compare, front, searches, trials

_MODULES = {
    "compare": "tracking.lookup",
    "front": "tracking.lookup",
    "searches": "tracking.lookup",
    "trials": "tracking.lookup",
}

__all__ = ["compare", "front", "searches", "trials"]

if not TYPE_CHECKING:  # so that a checker refuses names that are not there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used, so that importing the package loads nothing."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
