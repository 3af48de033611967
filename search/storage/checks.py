"""Check that the storage of searches can be written and that MLflow can be reached."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spaces.errors import RequestError, Unreachable
from tracking.mlflow_store.client import check_experiment, reading
from tracking.mlflow_store.uri import probe, sqlite_file

_BLOCK = 4096
_NEVER = (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENOTDIR)
"""Errors of a path that will not pass by waiting."""


def check_writable(storage: Path) -> None:
    """Check that a storage can be written, without leaving anything there.

    Raises:
        Unreachable: when it cannot be written for now: it is full, read-only or away.
        RequestError: when it can never be written.
    """
    try:
        try_writing(_nearest(storage))
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        kind = Unreachable if isinstance(error, OSError) and error.errno not in _NEVER else RequestError
        raise kind(f"storage = {storage}: cannot be written ({reason}); allowed: a writable folder") from None


def try_writing(folder: Path) -> None:
    """Write into a folder and leave nothing there; permission bits mean little for root and for special folders.

    Raises:
        OSError: when it cannot be written.
    """
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a folder")
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(bytes(_BLOCK))  # a full disk may still take a name


def _nearest(path: Path) -> Path:
    """Return the path itself, or its nearest parent that exists."""
    while True:
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            path = path.parent
        else:
            return path


@contextmanager
def provisional(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; when the block fails, remove those of them that are still empty."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for one in made:
                one.rmdir()
        raise


def check_tracking(uri: str, storage: Path, experiment: str | None = None) -> None:
    """Check that MLflow can be written, and `experiment` in it; a SQLite file that is yet to be made may be missing.

    Raises:
        RequestError: when it cannot be written.
    """
    file = sqlite_file(uri)
    if file is None or file.parent != storage.absolute() or storage.is_dir():
        probe(uri, write=True)
    if file is None or file.is_file():
        with reading(uri) as client:
            if experiment is not None:
                check_experiment(client, experiment)
