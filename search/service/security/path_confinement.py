"""What of a spec reaches the cluster's files, confined to what the operator allows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.service.settings import Settings
from spaces.errors import RequestError, Unreachable
from spaces.spec.sections import HubSource
from spaces.spec.spec import SearchSpec
from trainables.allowed_folders import check_inside, local_places

_LOOKED_AT = 10_000
"""Files of a folder that are checked while the client waits; a job checks all of them before it reads."""

_WORD = re.compile(r"[\w+-][\w+.-]*(/[\w+-][\w+.-]*)*")
# What matches may be a folder beside whoever reads it, so that commands of the service run where there is none.
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def confine_spec(spec: SearchSpec, settings: Settings) -> SearchSpec:
    """The spec as the service runs it: in its storage, its MLflow and its database of studies, with absolute paths.

    A relative path is that of a file or a folder in one of the roots, the first that has it.

    Raises:
        RequestError: when a path lies outside the roots, or the spec names places of its own.
    """
    model, data = spec.model, {}
    if not _HUB.fullmatch(spec.model.path) or _found(spec.model.path, settings):
        model = model.model_copy(update={"path": _readable("model.path", model.path, settings)})
    for name in ("train", "validation", "test"):
        source = getattr(spec.data, name)
        if isinstance(source, str):
            data[name] = _readable(f"data.{name}", source, settings)
        elif source is not None and not _HUB.fullmatch(source.hub):  # folders are read by the same function
            path = _readable(f"data.{name}.hub", source.hub, settings)
            data[name] = source.model_copy(update={"hub": path})
    for field, word in _words(spec):
        if word is not None and not _WORD.fullmatch(word):
            raise RequestError(f"{field} = {word!r}: may be a path; allowed: letters, digits, and . _ - + / within")
    for field, given in (("tracking.uri", spec.tracking.uri), ("search.study_storage", spec.search.study_storage)):
        if given is not None:
            raise RequestError(f"{field}: the service has its own; allowed: nothing")
    found = spec.model_copy(
        update={
            "model": model,
            "data": spec.data.model_copy(update=data),
            "storage": str(settings.storage),
            "search": spec.search.model_copy(update={"study_storage": settings.study_storage}),
        }
    )
    for field, path in local_places(found).items():
        if Path(path).is_absolute():
            check_inside(field, path, settings.readable, _LOOKED_AT)
    return found


def _words(spec: SearchSpec) -> Iterator[tuple[str, str | None]]:
    """Fields of which libraries make names of files, in the cache of the hub."""
    yield "model.revision", spec.model.revision
    for split in ("train", "validation", "test"):
        source = getattr(spec.data, split)
        if isinstance(source, HubSource):
            yield f"data.{split}.name", source.name


def confine_stored_spec(spec: SearchSpec, settings: Settings) -> SearchSpec:
    """Confine again a spec that MLflow has kept, where others may have changed it.

    Its places are those that the operator names now, which may be others than then.

    Raises:
        RequestError: when a path lies outside the roots.
    """
    places: dict[str, Any] = {
        "tracking": spec.tracking.model_copy(update={"uri": None}),
        "search": spec.search.model_copy(update={"study_storage": None}),
    }
    return confine_spec(spec.model_copy(update=places), settings)


def check_own_places(spec: SearchSpec, settings: Settings) -> None:
    """See that a search which began in the storage has its records where the service has them.

    Raises:
        RequestError: when its spec names other places, which were not to be reached from here.
    """
    own = (
        ("tracking.uri", spec.tracking.uri, settings.tracking_uri),
        ("search.study_storage", spec.search.study_storage, settings.study_storage),
    )
    for field, given, known in own:
        if given not in (None, known):
            raise RequestError(f"{field}: the service has its own; allowed: nothing, or that of the service")


def _found(path: str, settings: Settings) -> Path | None:
    """What a relative path means, where it means anything."""
    try:
        return next((root / path for root in settings.readable if (root / path).exists()), None)
    except (OSError, ValueError):  # too long a name, or a null byte
        return None


def _readable(field: str, path: str, settings: Settings) -> str:
    """The path within the roots.

    Raises:
        Unreachable: when it may lie in a root that is away.
        RequestError: when it lies in none.
    """
    allowed = ", ".join(str(one) for one in settings.readable)
    try:
        given = Path(path) if Path(path).is_absolute() else _found(path, settings)
        inside = given is not None and any(given.resolve().is_relative_to(root) for root in settings.readable)
    except (OSError, ValueError, RuntimeError):  # a null byte, or links in a circle
        inside = False
    if not inside and (away := [root for root in settings.readable if not root.is_dir()]):
        raise Unreachable(f"{field} = {path}: {away[0]} is not there for now")
    if not inside:
        raise RequestError(
            f"{field} = {path}: nothing that the service may read; allowed: paths in {allowed}, absolute or relative"
        )
    return str(given)
