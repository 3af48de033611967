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
from spaces.errors import WorkError, one_line
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import find_requests


@contextmanager
def reaching(storage: Path) -> Iterator[None]:
    """Have a storage that is away said in one line.

    Raises:
        WorkError: in the place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise WorkError(f"storage {storage}: {one_line(error)}") from error


def is_marked(home: Path) -> bool:
    """Whether the search that lives there was asked to stop."""
    return (home / search_folder.STOP).exists()


def pass_on_stop(settings: Settings, name: str) -> bool:
    """Lay the mark of a search that is to stop; false where the search has no folder yet.

    Raises:
        WorkError: when the storage or MLflow is away.
    """
    home = settings.storage / name
    with reaching(settings.storage):
        if not search_folder.exists(home):
            return False
        if is_marked(home):
            return True
        search_folder.ask_to_stop(home)
    with reading(settings.tracking_uri) as client:
        wanted = [one.wanted for one in find_requests(client, name)[:1]]
    if wanted != ["stop"]:  # any more
        take_back_stop(settings, name)
    return True


def take_back_stop(settings: Settings, name: str) -> None:
    """The search is to run.

    Raises:
        WorkError: when the storage is away.
    """
    with reaching(settings.storage):
        search_folder.take_back_stop(settings.storage / name)
