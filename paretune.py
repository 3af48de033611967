"""paretune in Python: everything that a notebook or a script imports. docs/python.md describes each name.

Example:
    >>> import paretune as pt  # doctest: +SKIP
    >>> result = pt.search(pt.load_spec("reviews.yaml"))  # doctest: +SKIP
    >>> result.front.to_pandas()  # doctest: +SKIP
    >>> pt.export("reviews", out="adapter", knee=True)  # doctest: +SKIP
    >>> model, tokenizer = pt.load_adapter("adapter")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search import Client, SearchResult, count, export, methods, resume, search
    from spaces import RequestError, SearchSpec, WorkError, load_spec
    from tracking import compare, front, searches, trials
    from trainables import load_adapter, register_tuners

_PACKAGES = {
    "Client": "search",
    "RequestError": "spaces",
    "SearchResult": "search",
    "SearchSpec": "spaces",
    "WorkError": "spaces",
    "compare": "tracking",
    "count": "search",
    "export": "search",
    "front": "tracking",
    "load_adapter": "trainables",
    "load_spec": "spaces",
    "methods": "search",
    "register_tuners": "trainables",
    "resume": "search",
    "search": "search",
    "searches": "tracking",
    "trials": "tracking",
}

__all__ = [
    "Client",
    "RequestError",
    "SearchResult",
    "SearchSpec",
    "WorkError",
    "compare",
    "count",
    "export",
    "front",
    "load_adapter",
    "load_spec",
    "methods",
    "register_tuners",
    "resume",
    "search",
    "searches",
    "trials",
]

if not TYPE_CHECKING:  # so that a checker refuses names that are not there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used, so that `import paretune` loads nothing."""
        if name not in _PACKAGES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_PACKAGES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
