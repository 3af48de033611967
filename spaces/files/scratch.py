"""Scratch folders: an export is made in one and then moved to its place; those of killed processes are removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".paretune-export-"


@contextmanager
def scratch(near: Path) -> Iterator[Path]:
    """Make a new folder in `near`, and remove it afterwards unless it was moved.

    It is locked as long as its process lives, so that another process can tell it from one that was left behind.

    Raises:
        OSError: when nothing can be written there.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=near))
    lock = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear_left_behind(near: Path) -> None:
    """Remove the scratch folders in `near` whose processes were killed."""
    for folder in near.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
