"""Lock files in existing folders."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock


class FolderLock(FileLock):
    """A lock file in a folder that must exist.

    `filelock` itself would make the folder. In the place of a storage that is away, everything written there afterwards
    would be lost.

    Raises:
        FileNotFoundError: when the folder does not exist.
    """

    def acquire(self, *given: Any, **named: Any) -> AcquireReturnProxy[Any]:
        """Acquire the lock, like `FileLock.acquire`."""
        folder = Path(self.lock_file).parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        return super().acquire(*given, **named)
