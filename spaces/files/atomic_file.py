"""Files that are replaced in one move, so that a reader finds the old content or the new one and never half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, draft: Path | None = None, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a draft that takes the place of `path` when the block ends, and is removed when the block raises.

    The folder must exist. It is not made here: in the place of a storage that is away, it would take what is lost
    with it.

    Args:
        path: the file to replace.
        draft: where to write, in the same folder. By default a new name, so that several processes may write at once;
            but drafts of killed processes then stay. A fixed name suits a large file with a single writer.
        durable: flush file and folder to the disk, so that the replacement survives a crash of the machine.

    Raises:
        OSError: naming `path`, when it cannot be written, as on a full disk. `path` is then as it was before.
    """
    try:
        file, name = _new_draft(path) if draft is None else (draft.open("wb"), str(draft))
        try:
            with file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        if durable:
            _flush_folder(path.parent)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_durably(path: Path, text: str) -> None:
    """Replace `path` by `text` in one move that survives a crash of the machine.

    Raises:
        OSError: naming `path`, when it cannot be written. `path` is then as it was before.
    """
    with replacing(path) as file:
        file.write(text.encode())


def _new_draft(path: Path) -> tuple[BinaryIO, str]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    return os.fdopen(handle, "wb"), name


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
