"""Searches of many trials: Ray Tune and Optuna, early stopping, resume, confirm, the commands and the service."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.client import Client
    from search.counting import count
    from search.driver.launch import resume, search
    from search.driver.result import SearchResult
    from search.exporting import export
    from search.method_descriptions import methods

_MODULES = {
    "Client": "search.client",
    "SearchResult": "search.driver.result",
    "count": "search.counting",
    "export": "search.exporting",
    "methods": "search.method_descriptions",
    "resume": "search.driver.launch",
    "search": "search.driver.launch",
}

__all__ = ["Client", "SearchResult", "count", "export", "methods", "resume", "search"]

if not TYPE_CHECKING:  # so that a checker refuses names that are not there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used, so that importing the package loads nothing."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
