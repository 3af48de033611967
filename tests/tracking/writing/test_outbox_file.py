"""The file of events: durable lines, an offset, and what a kill may leave."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from filelock import Timeout

from tracking.writing.outbox_file import Entry, OutboxFile


def test_lines_come_back_in_order_with_their_ends(tmp_path: Path) -> None:
    spool = OutboxFile(tmp_path / "new" / "home")
    spool.append(b"one", b"two")
    spool.append(b"three")
    assert spool.entries() == [Entry(b"one\n", 4), Entry(b"two\n", 8), Entry(b"three\n", 14)]
    assert spool.entries(4, limit=1) == [Entry(b"two\n", 8)]


def test_the_offset_outlives_the_spool(tmp_path: Path) -> None:
    spool = OutboxFile(tmp_path)
    spool.append(b"one", b"two", b"three")
    assert (spool.offset, spool.unsent) == (0, 3)
    spool.acknowledge(8)
    spool.close()
    again = OutboxFile(tmp_path)
    assert (again.offset, again.unsent) == (8, 1)


@pytest.mark.parametrize("torn", [b"half a li", b'{"event": "log"', b"\xc3"])
def test_a_torn_last_line_is_cut(tmp_path: Path, torn: bytes) -> None:
    OutboxFile(tmp_path).append(b"one")
    with (tmp_path / "outbox.jsonl").open("ab") as file:
        file.write(torn)
    spool = OutboxFile(tmp_path)
    spool.append(b"two")
    assert (tmp_path / "outbox.jsonl").read_bytes() == b"one\ntwo\n"


def test_a_line_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    spool = OutboxFile(tmp_path)
    spool.append(b"one")
    with (tmp_path / "outbox.jsonl").open("ab") as file:
        file.write(b"half")
        file.flush()
        assert [entry.line for entry in spool.entries()] == [b"one\n"]


@pytest.mark.parametrize("content", ["", "12x", "99999"])
def test_an_offset_that_cannot_be_means_send_all_again(tmp_path: Path, content: str) -> None:
    spool = OutboxFile(tmp_path)
    spool.append(b"one")
    (tmp_path / "outbox.offset").write_text(content)
    assert (spool.offset, spool.unsent) == (0, 1)


def test_lines_that_the_disk_takes_only_in_part_leave_no_trace(tmp_path: Path) -> None:
    """A limit on the size of files cuts a write in the middle, as a full disk does."""
    spool = OutboxFile(tmp_path)
    spool.append(b"one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match=r"a part of an event|too large"):
            spool.append(b"two", b"and much more")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.append(b"three")
    assert (tmp_path / "outbox.jsonl").read_bytes() == b"one\nthree\n"


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    spool = OutboxFile(tmp_path)
    spool.close()
    with pytest.raises(ValueError, match="closed file"):
        spool.append(b"one")


def test_only_one_at_a_time_may_send(tmp_path: Path) -> None:
    first, second = OutboxFile(tmp_path), OutboxFile(tmp_path)
    with first.sending, pytest.raises(Timeout), second.sending:
        pass
    with second.sending:
        pass


def test_once_all_is_sent_nothing_waits(tmp_path: Path) -> None:
    spool = OutboxFile(tmp_path)
    spool.append(b"one", b"two")
    assert spool.waits
    spool.acknowledge(spool.size)
    assert (spool.offset, spool.unsent, spool.waits) == (8, 0, False)


def test_lines_are_on_the_disk_before_an_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronized = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synchronized.append(os.fstat(descriptor).st_size))
    spool = OutboxFile(tmp_path)
    spool.append(b"one")
    spool.append(b"two", b"three")
    assert synchronized == [4, 14]
