"""Patterns that match several files of examples."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from spaces.errors import RequestError
from trainables.allowed_folders import is_confined


def matching_files(field: str, source: str) -> list[Path] | None:
    """Return the files that a pattern such as `data/train-*.csv` matches, in order; None if `source` is no pattern.

    Raises:
        RequestError: when it matches none, or this process may not read everywhere: links could lead elsewhere.
    """
    path = Path(source).expanduser()
    if not any(one in source for one in "*?[") or path.exists():
        return None
    if is_confined():
        raise RequestError(f"{field} = {source}: a pattern; allowed: one file")
    found = sorted(map(Path, glob(str(path), recursive=True)))
    if not found:
        raise RequestError(f"{field} = {source}: matches no file; allowed: a pattern that matches some")
    return found
