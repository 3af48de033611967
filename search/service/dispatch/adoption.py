"""Searches that nobody asked the service for: begun by a command, with the service's MLflow."""

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
    """Have whoever runs the search end it.

    Raises:
        Problem: when nobody does, or it does not stand in the storage of the service.
    """
    _spec_here(settings, row)
    home = settings.storage / row.name
    with storage_errors(settings.storage):
        if not _is_run(home):
            raise Problem(409, f"search {row.name!r}: nobody runs it; allowed: one that runs")
        search_folder.ask_to_stop(home)


def adoptable_spec(settings: Settings, row: SearchRun) -> SearchSpec:
    """The spec with which the service may go on with the search.

    Raises:
        Problem: when somebody runs it, or it does not stand in the storage of the service.
        RequestError: when the service may not run its spec.
    """
    spec = _spec_here(settings, row)
    check_own_places(spec, settings)
    spec = confine_stored_spec(spec, settings)
    with storage_errors(settings.storage):
        if _is_run(settings.storage / row.name):
            raise Problem(409, f"search {row.name!r}: is being run by a command; allowed: one that nobody runs")
    return spec


def _spec_here(settings: Settings, row: SearchRun) -> SearchSpec:
    """Its spec as a driver reads it."""
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


def _is_run(home: Path) -> bool:
    """Whether a driver holds it, on whichever machine."""
    try:
        with search_folder.held(home):
            return False
    except RequestError:
        return True
