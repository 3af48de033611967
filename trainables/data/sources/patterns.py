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
    if not _is_pattern(source):
        return None
    if is_confined():
        check_no_pattern(field, source)
    found = sorted(set(map(Path, glob(str(Path(source).expanduser()), recursive=True))))
    if not found:
        raise RequestError(f"{field} = {source}: matches no file; allowed: a pattern that matches some")
    return found


def check_no_pattern(field: str, source: str) -> None:
    """Check that a source is not a pattern, for a reader who may not read everywhere.

    Raises:
        RequestError: when it is one.
    """
    if _is_pattern(source):
        raise RequestError(f"{field} = {source}: a pattern; allowed: one file, or a list of files")


def _is_pattern(source: str) -> bool:
    return any(one in source for one in "*?[") and not Path(source).expanduser().exists()
