"""The mark beside a search that has its driver end it, on whichever machine; and what is said when it cannot be laid.

Services and their dispatchers lay it and take it back at the same time. Who lays it looks into MLflow afterwards, and
who wants the search to run says so there before it takes the mark back: so none is left that nobody wants.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.service.settings import Settings
from search.storage import search_folder
from spaces.errors import WorkError
from tracking.mlflow_store.client import one_line, reading
from tracking.mlflow_store.launch_requests import find_requests


@contextmanager
def storage_errors(storage: Path) -> Iterator[None]:
    """Have a storage that is away said in one line.

    Raises:
        WorkError: in the place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise WorkError(f"storage {storage}: {one_line(error)}") from error


def has_stop_marker(home: Path) -> bool:
    """Whether the search that lives there was asked to stop."""
    return (home / search_folder.STOP).exists()


def place_stop_marker(settings: Settings, name: str) -> bool:
    """Lay the mark of a search that is to stop; false where the search has no folder yet.

    Raises:
        WorkError: when the storage or MLflow is away.
    """
    home = settings.storage / name
    with storage_errors(settings.storage):
        if not search_folder.exists(home):
            return False
        if has_stop_marker(home):
            return True
        search_folder.ask_to_stop(home)
    with reading(settings.tracking_uri) as client:
        wanted = [one.wanted for one in find_requests(client, name)[:1]]
    if wanted != ["stop"]:  # any more
        remove_stop_marker(settings, name)
    return True


def remove_stop_marker(settings: Settings, name: str) -> None:
    """The search is to run.

    Raises:
        WorkError: when the storage is away.
    """
    with storage_errors(settings.storage):
        search_folder.take_back_stop(settings.storage / name)
