"""What of a spec reaches the cluster's files, confined to what the operator allows."""

from __future__ import annotations

import re
from pathlib import Path

from search.service.settings import Settings
from spaces.errors import RequestError, Unreachable
from spaces.spec import SearchSpec

# What matches may be a folder beside whoever reads it, so that commands of the service run where there is none.
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def confined(spec: SearchSpec, settings: Settings) -> SearchSpec:
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
    for field, given in (("tracking.uri", spec.tracking.uri), ("search.study_storage", spec.search.study_storage)):
        if given is not None:
            raise RequestError(f"{field}: the service has its own; allowed: nothing")
    return spec.model_copy(
        update={
            "model": model,
            "data": spec.data.model_copy(update=data),
            "storage": str(settings.storage),
            "search": spec.search.model_copy(update={"study_storage": settings.study_storage}),
        }
    )


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
