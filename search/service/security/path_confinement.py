"""Confinement of a spec: it reads only within the operator's folders, and writes only to the service's own places.

Nor does it call functions of modules that the operator does not name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from search.service.settings import Settings
from spaces.errors import RequestError, Unreachable
from spaces.spec.own_metric import check_module
from spaces.spec.sections import HubSource
from spaces.spec.sources import with_files
from spaces.spec.spec import SearchSpec
from trainables.allowed_folders import check_inside, local_places
from trainables.data.sources.patterns import check_no_pattern

_LOOKED_AT = 10_000
"""Files of all folders that are checked while the client waits; the job checks all of them before it reads."""

_WORD = re.compile(r"[\w+-][\w+.-]*(/[\w+-][\w+.-]*)*")
# A name of the hub could also be a folder in the current directory, so commands and jobs run in an empty one.
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def confine_spec(spec: SearchSpec, settings: Settings) -> SearchSpec:
    """Return the spec as the service runs it: in its storage, MLflow and study database, and with absolute paths.

    A relative path is taken from the first root that has such a file or folder.

    Raises:
        RequestError: when a path is outside the roots, or the spec names a storage, MLflow or database of its own, or
            a metric of a module that is not the operator's.
        Unreachable: when a path may be in a root that is away.
    """
    model, data = spec.model, dict[str, Any]()
    if not _HUB.fullmatch(spec.model.path) or _found(spec.model.path, settings):
        model = model.model_copy(update={"path": _readable("model.path", model.path, settings)})
    for name in ("train", "validation", "test"):
        source = getattr(spec.data, name)
        if not isinstance(source, HubSource):
            data[name] = with_files(source, partial(_readable_file, f"data.{name}", settings=settings))
        elif not _HUB.fullmatch(source.hub):  # `datasets` reads folders by the same call
            path = _readable(f"data.{name}.hub", source.hub, settings)
            data[name] = source.model_copy(update={"hub": path})
    if spec.data.chat_template is not None:
        data["chat_template"] = _readable("data.chat_template", spec.data.chat_template, settings)
    for field, word in _words(spec):
        if word is not None and not _WORD.fullmatch(word):
            raise RequestError(f"{field} = {word!r}: may be a path; allowed: letters, digits, and . _ - + / within")
    if spec.metric.is_own:
        check_module(spec.metric.name, settings.metric_modules)
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
    places = [(field, path) for field, path in local_places(found) if Path(path).is_absolute()]
    for field, path in places:
        check_inside(field, path, settings.readable, max(1, _LOOKED_AT // len(places)))
    return found


def _words(spec: SearchSpec) -> Iterator[tuple[str, str | None]]:
    """Yield the fields from which libraries make file names in the cache of the hub."""
    yield "model.revision", spec.model.revision
    for split in ("train", "validation", "test"):
        source = getattr(spec.data, split)
        if isinstance(source, HubSource):
            yield f"data.{split}.name", source.name


def confine_stored_spec(spec: SearchSpec, settings: Settings) -> SearchSpec:
    """Confine a spec that was kept in MLflow or in a folder, where others may have changed it.

    It gets the places that the operator names now, which may differ from earlier ones.

    Raises:
        RequestError: when a path is outside the roots, or the metric one of another module.
        Unreachable: when a path may be in a root that is away.
    """
    places: dict[str, Any] = {
        "tracking": spec.tracking.model_copy(update={"uri": None}),
        "search": spec.search.model_copy(update={"study_storage": None}),
    }
    return confine_spec(spec.model_copy(update=places), settings)


def check_own_places(spec: SearchSpec, settings: Settings) -> None:
    """Check that a search which a command began in the storage uses the MLflow and the database of the service.

    Raises:
        RequestError: when its spec names others.
    """
    own = (
        ("tracking.uri", spec.tracking.uri, settings.tracking_uri),
        ("search.study_storage", spec.search.study_storage, settings.study_storage),
    )
    for field, given, known in own:
        if given not in (None, known):
            raise RequestError(f"{field}: the service has its own; allowed: nothing, or that of the service")


def _found(path: str, settings: Settings) -> Path | None:
    """Return the path in the first root that has it; None if none does."""
    try:
        return next((root / path for root in settings.readable if (root / path).exists()), None)
    except (OSError, ValueError):  # the name is too long, or holds a null byte
        return None


def _readable_file(field: str, path: str, settings: Settings) -> str:
    """Return the path of a file or a folder of examples within the roots, absolute; see `_readable`.

    Raises:
        RequestError: when it is a pattern, too: what that matches could lead elsewhere.
    """
    found = _readable(field, path, settings)
    check_no_pattern(field, found)
    return found


def _readable(field: str, path: str, settings: Settings) -> str:
    """Return the path within the roots, absolute.

    Raises:
        Unreachable: when it may be in a root that is away.
        RequestError: when it is in none.
    """
    allowed = ", ".join(str(one) for one in settings.readable)
    try:
        given = Path(path) if Path(path).is_absolute() else _found(path, settings)
        inside = given is not None and any(given.resolve().is_relative_to(root) for root in settings.readable)
    except (OSError, ValueError, RuntimeError):  # a null byte, or a circle of links
        inside = False
    if not inside and (away := [root for root in settings.readable if not root.is_dir()]):
        raise Unreachable(f"{field} = {path}: {away[0]} is not there for now")
    if not inside:
        raise RequestError(
            f"{field} = {path}: nothing that the service may read; allowed: paths in {allowed}, absolute or relative"
        )
    return str(given)
