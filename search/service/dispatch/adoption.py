"""Adoption of searches that a command began with the service's MLflow: stop them, and find the spec to resume them."""

from __future__ import annotations

from pathlib import Path

from search.service.dispatch.stop_marker import storage_errors
from search.service.problems import Problem
from search.service.security.path_confinement import check_own_places, confine_stored_spec
from search.service.settings import Settings
from search.storage import search_folder
from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from tracking.mlflow_store.run_records import SearchRun


def stop_unmanaged(settings: Settings, row: SearchRun) -> None:
    """Ask the driver of a search that a command runs to stop.

    Raises:
        Problem: when no driver runs it, or its folder is not in the storage of the service.
    """
    _stored_spec(settings, row)
    home = settings.storage / row.name
    with storage_errors(settings.storage):
        if not _has_driver(home):
            raise Problem(409, f"search {row.name!r}: nobody runs it; allowed: one that runs")
        search_folder.ask_to_stop(home)


def adoptable_spec(settings: Settings, row: SearchRun) -> SearchSpec:
    """Return the spec with which the service may resume a search that a command began.

    Raises:
        Problem: when a driver runs it, or its folder is not in the storage of the service.
        RequestError: when the service may not run its spec.
    """
    spec = _stored_spec(settings, row)
    check_own_places(spec, settings)
    spec = confine_stored_spec(spec, settings)
    with storage_errors(settings.storage):
        if _has_driver(settings.storage / row.name):
            raise Problem(409, f"search {row.name!r}: is being run by a command; allowed: one that nobody runs")
    return spec


def _stored_spec(settings: Settings, row: SearchRun) -> SearchSpec:
    """Return the spec in the folder of the search, which a driver would read.

    Raises:
        Problem: when the storage has no folder of this search.
    """
    home = settings.storage / row.name
    with storage_errors(settings.storage):
        there = search_folder.exists(home)
    if there:
        spec, identity = search_folder.read(home)
        if identity.search_id == row.search_id:
            return spec
    raise Problem(
        409,
        f"search {row.name!r}: was begun by a command, and not in {settings.storage}; "
        "allowed: one that stands there, or `paretune stop` and `paretune resume` where it was begun",
    )


def _has_driver(home: Path) -> bool:
    """Tell whether a driver, on any machine, holds the lock of the search."""
    try:
        with search_folder.held(home):
            return False
    except RequestError:
        return True
