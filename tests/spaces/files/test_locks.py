"""A lock makes no folder in the place of one that is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import Timeout

from spaces.files.locks import FolderLock


def test_a_lock_is_held_by_one_and_makes_no_folder(tmp_path: Path) -> None:
    home = tmp_path / "search"
    lock, other = FolderLock(home / "lock", blocking=False), FolderLock(home / "lock", blocking=False)
    for take in (lock.acquire, lambda: lock.acquire(timeout=0)):
        with pytest.raises(FileNotFoundError):
            take()
    assert list(tmp_path.iterdir()) == []
    home.mkdir()
    with lock, pytest.raises(Timeout), other:
        pass
    with other:
        home.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError), lock:
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["away"]
