"""Storages that can be written and those that cannot, looked at without a trace."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from search.storage.checks import check_tracking, check_writable, provisional, try_writing
from spaces.errors import RequestError, Unreachable


def contents(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_a_folder_or_one_that_can_be_made_is_writable_and_stays_as_it_is(tmp_path: Path) -> None:
    for storage in (tmp_path, tmp_path / "new", tmp_path / "new" / "deep"):
        check_writable(storage)
    assert contents(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "reason", "kind"),
    [
        ("file", "not a folder", RequestError),
        ("file/inside", "not a folder", RequestError),
        ("dangling", "not a folder", RequestError),
        ("y" * 300, "File name too long", RequestError),
        ("a\0b", "embedded null byte", RequestError),
        ("/proc/paretune-runs", "No such file or directory", Unreachable),
    ],
)
def test_a_storage_that_cannot_be_written_is_named_with_the_reason(
    tmp_path: Path, name: str, reason: str, kind: type[RequestError]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    storage = tmp_path / name
    with pytest.raises(RequestError) as refused:
        check_writable(storage)
    assert type(refused.value) is kind
    assert str(refused.value) == f"storage = {storage}: cannot be written ({reason}); allowed: a writable folder"


def test_a_write_is_tried_and_leaves_nothing(tmp_path: Path) -> None:
    try_writing(tmp_path)
    assert contents(tmp_path) == []
    with pytest.raises(OSError, match="No such file or directory"):
        try_writing(Path("/proc"))  # its permissions would let root write


def fail_within(folder: Path, made: Path | None = None) -> None:
    with provisional(folder):
        assert folder.is_dir()
        if made is not None:
            made.touch()
        raise KeyboardInterrupt


def test_folders_that_stayed_empty_are_taken_away_when_what_was_to_fill_them_fails(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(KeyboardInterrupt):
        fail_within(folder)
    assert contents(tmp_path) == []
    with pytest.raises(KeyboardInterrupt):
        fail_within(folder, folder.parent / "kept")
    assert contents(tmp_path) == [folder.parent, folder.parent / "kept"]
    with provisional(folder):
        pass
    assert folder.is_dir()


def test_tracking_beside_the_searches_may_be_missing_and_is_not_made(tmp_path: Path) -> None:
    storage = tmp_path / "runs"
    check_tracking(f"sqlite:///{storage}/mlflow.db", storage, "paretune")
    assert contents(tmp_path) == []
    with pytest.raises(Unreachable, match="is not a writable folder"):
        check_tracking(f"sqlite:///{tmp_path}/elsewhere/mlflow.db", storage)


def test_a_database_of_something_else_is_no_tracking(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE things (name)")
    with pytest.raises(RequestError, match="not a database of MLflow"):
        check_tracking(f"sqlite:///{tmp_path}/other.db", tmp_path)
