"""The stop marker: a file in the folder of a search that asks its driver, on any node, to stop.

Services and their dispatchers place and remove it at the same time. After it is placed, MLflow is read again, and a
caller that wants the search to run says so in MLflow before it removes the marker: so no marker is left that is not
wanted any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.service.settings import Settings
from search.storage import search_folder
from spaces.errors import WorkError, one_line
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import find_requests


@contextmanager
def storage_errors(storage: Path) -> Iterator[None]:
    """Turn an `OSError` within the block into one line that names the storage.

    Raises:
        WorkError: in place of the `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise WorkError(f"storage {storage}: {one_line(error)}") from error


def has_stop_marker(home: Path) -> bool:
    """Tell whether the search in the folder `home` was asked to stop."""
    return (home / search_folder.STOP).exists()


def place_stop_marker(settings: Settings, name: str) -> bool:
    """Place the marker of a search that is to stop; return False where the search has no folder yet.

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
    if wanted != ["stop"]:  # it was resumed in between
        remove_stop_marker(settings, name)
    return True


def remove_stop_marker(settings: Settings, name: str) -> None:
    """Remove the marker of a search that is to run.

    Raises:
        WorkError: when the storage is away.
    """
    with storage_errors(settings.storage):
        search_folder.take_back_stop(settings.storage / name)
