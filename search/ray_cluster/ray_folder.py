"""The folder of a private Ray, with a name short enough for Ray's sockets wherever TMPDIR points to."""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ray._common.utils import get_default_ray_temp_dir

from spaces.errors import RequestError

LONGEST = 107 - len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
"""The most bytes that the name of Ray's folder may have: the kernel takes 107 for the path of a socket."""

SHORT = ("/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR", ""))


def ray_folder(short: Iterable[str] = SHORT) -> str | None:
    """Return the folder for a private Ray's files; None where Ray's own choice is short enough.

    Batch systems set long TMPDIRs. There, a link with a short name points to Ray's own choice. It is in a folder of
    this user alone, which is removed when this process ends.

    Args:
        short: Folders in which the link may be made.

    Raises:
        RequestError: when no link can be made.
    """
    chosen = get_default_ray_temp_dir()
    if len(os.fsencode(chosen)) <= LONGEST:
        return None
    for place in filter(None, short):
        with contextlib.suppress(OSError):
            Path(chosen).mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="pt", dir=place))  # for its owner alone
            atexit.register(_remove, folder)
            link = folder / "ray"
            link.symlink_to(chosen)
            if len(os.fsencode(link)) <= LONGEST:
                return str(link)
    raise RequestError(
        f"TMPDIR = {tempfile.gettempdir()}: too long for Ray's sockets; "
        f"allowed: a folder of at most {LONGEST - len('/ray')} bytes, or a writable /tmp"
    )


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        (folder / "ray").unlink(missing_ok=True)
        folder.rmdir()
