"""Methods and metrics that other installed packages bring, by their entry points.

A package names a module in one of the groups, and the module holds what a built-in file holds:

    [project.entry-points."paretune.methods"]
    road = "paretune_road.method"        # METHODS, as in spaces/methods; imports no torch

    [project.entry-points."paretune.adapters"]
    road = "paretune_road.tuner"         # ADAPTERS, as in trainables/methods

    [project.entry-points."paretune.metrics"]
    balanced = "paretune_road.metric"    # METRICS, as in spaces/spec/metrics.py
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar

from spaces.errors import RequestError, one_line


class Named(Protocol):
    """Anything that is found by its name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def with_installed(built_in: Iterable[T], group: str, attribute: str, kind: type[Any]) -> dict[str, T]:
    """Return the built-in objects and those of other packages, by name.

    Args:
        group: the group of entry points, each of which names a module or an object.
        attribute: the tuple of objects that it holds.
        kind: the class of these objects.

    Raises:
        RequestError: naming the package, when it cannot be imported, holds other objects, or takes a name twice.
    """
    found = {one.name: one for one in built_in}
    for entry in entry_points(group=group):
        for one in _objects(entry, attribute, kind):
            if one.name in found:
                raise RequestError(f"{_described(entry)}: {one.name!r} exists already; allowed: another name")
            found[one.name] = one
    return found


def _objects(entry: EntryPoint, attribute: str, kind: type[Any]) -> tuple[Any, ...]:
    try:
        objects = tuple(getattr(entry.load(), attribute))
    except Exception as error:  # of code that is not ours
        said = one_line(f"{type(error).__name__}: {error}")
        raise RequestError(
            f"{_described(entry)}: cannot be loaded ({said}); allowed: a module with {attribute}"
        ) from error
    for one in objects:
        if not isinstance(one, kind):
            raise RequestError(
                f"{_described(entry)}: {attribute} holds {type(one).__name__}; allowed: objects of {kind.__name__}"
            )
    return objects


def _described(entry: EntryPoint) -> str:
    package = "" if entry.dist is None else f" of package {entry.dist.name} {entry.dist.version}"
    return f"{entry.group}: {entry.name} = {entry.value}{package}"
