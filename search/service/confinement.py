"""What of a spec reaches the cluster's files, confined to what the operator allows."""

from __future__ import annotations

import re
from pathlib import Path

from search.service.settings import Settings
from spaces.errors import RequestError
from spaces.spec import SearchSpec

# What matches may be a folder beside whoever reads it, so that commands of the service run where there is none.
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def confined(spec: SearchSpec, settings: Settings) -> SearchSpec:
    """The spec as the service runs it: in its storage, its MLflow and its database of studies.

    Raises:
        RequestError: when a path lies outside the roots, or the spec names places of its own.
    """
    if not _HUB.fullmatch(spec.model.path):
        _check("model.path", spec.model.path, settings)
    for name in ("train", "validation", "test"):
        source = getattr(spec.data, name)
        if isinstance(source, str):
            _check(f"data.{name}", source, settings)
        elif source is not None and not _HUB.fullmatch(source.hub):  # folders are read by the same function
            _check(f"data.{name}.hub", source.hub, settings)
    for field, given in (("tracking.uri", spec.tracking.uri), ("search.study_storage", spec.search.study_storage)):
        if given is not None:
            raise RequestError(f"{field}: the service has its own; allowed: nothing")
    return spec.model_copy(
        update={
            "storage": str(settings.storage),
            "search": spec.search.model_copy(update={"study_storage": settings.study_storage}),
        }
    )


def _check(field: str, path: str, settings: Settings) -> None:
    allowed = ", ".join(str(one) for one in settings.readable)
    given = Path(path)
    try:
        inside = given.is_absolute() and any(given.resolve().is_relative_to(root) for root in settings.readable)
    except (OSError, ValueError, RuntimeError):  # a null byte, or links in a circle
        inside = False
    if not inside:
        raise RequestError(f"{field} = {path}: outside what the service may read; allowed: absolute paths in {allowed}")
