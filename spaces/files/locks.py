"""Lock files beside what they guard."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock


class FolderLock(FileLock):
    """A lock file in a folder that must be there.

    `filelock` makes the folder where there is none: in the place of a storage that is away, where what is written next
    would be lost.

    Raises:
        FileNotFoundError: when the folder is not there.
    """

    def acquire(self, *given: Any, **named: Any) -> AcquireReturnProxy[Any]:
        """As `filelock` has it."""
        folder = Path(self.lock_file).parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        return super().acquire(*given, **named)
