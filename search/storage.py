"""Whether the storage of searches can be written, and tracking be reached."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from spaces.errors import RequestError
from tracking.uri import probe, sqlite_file


def check_storage(storage: Path) -> None:
    """See that the storage can be written, without leaving anything there.

    Raises:
        RequestError: when it cannot.
    """
    try:
        try_writing(_nearest(storage))
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(f"storage = {storage}: cannot be written ({reason}); allowed: a writable folder") from None


def try_writing(folder: Path) -> None:
    """Write into a folder and leave nothing there; permission bits say too little of root and of special folders.

    Raises:
        OSError: when it cannot be written.
    """
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a folder")
    with tempfile.TemporaryFile(dir=folder):
        pass


def _nearest(path: Path) -> Path:
    """The path itself, or the last folder on the way to it that exists."""
    while True:
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            path = path.parent
        else:
            return path


def check_tracking(uri: str, storage: Path) -> None:
    """See that MLflow can be written; the SQLite file of a storage that is yet to be made may be missing.

    Raises:
        RequestError: when it cannot.
    """
    file = sqlite_file(uri)
    if file is None or file.parent != storage.absolute() or storage.is_dir():
        probe(uri, write=True)
