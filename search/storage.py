"""Whether the storage of searches can be written, and tracking be reached."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from spaces.errors import RequestError
from tracking.uri import probe, sqlite_file


def check_storage(storage: Path) -> None:
    """See that the storage can be written, without leaving anything there.

    Raises:
        RequestError: when it cannot.
    """
    existing = storage
    while not existing.exists():
        existing = existing.parent
    try:
        if not existing.is_dir():
            raise NotADirectoryError(20, "not a folder")
        with tempfile.TemporaryFile(dir=existing):
            pass
        writable = os.access(existing, os.W_OK)
    except OSError as error:
        raise RequestError(
            f"storage = {storage}: cannot be written ({error.strerror}); allowed: a writable folder"
        ) from None
    if not writable:
        raise RequestError(f"storage = {storage}: cannot be written; allowed: a writable folder")


def check_tracking(uri: str, storage: Path) -> None:
    """See that MLflow can be written; the SQLite file of a storage that is yet to be made may be missing.

    Raises:
        RequestError: when it cannot.
    """
    file = sqlite_file(uri)
    if file is None or file.parent != storage.absolute() or storage.is_dir():
        probe(uri, write=True)
