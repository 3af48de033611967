"""The file of the outbox: one event a line, and the offset up to which they were sent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from spaces.files.atomic_file import replacing
from spaces.files.locks import FolderLock


@dataclass(frozen=True)
class Entry:
    """A line of the file; `end` is the offset behind it, in bytes."""

    line: bytes
    end: int


class OutboxFile:
    """`outbox.jsonl` and `outbox.offset` in the folder of a search.

    A line is on the disk before `append` returns. Lines before the offset were sent; they are kept, so that deleting
    the offset sends everything again to a tracking server that was lost.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._events = home / "outbox.jsonl"
        self._offset = home / "outbox.offset"
        # Held by the sender; `filelock.Timeout` is raised at once where another one, perhaps a dying one, holds it.
        self.sending = FolderLock(home / "outbox.lock", blocking=False)
        self._file = self._events.open("ab", buffering=0)
        self._cut_torn_line()

    def _cut_torn_line(self) -> None:
        """Remove half a line that a killed writer left; `append` never returned for it."""
        content = self._events.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)

    def append(self, *lines: bytes) -> None:
        """Add lines durably, all or none.

        Raises:
            OSError: when the disk does not take them.
        """
        before = os.fstat(self._file.fileno()).st_size
        data = b"".join(line + b"\n" for line in lines)
        try:
            if self._file.write(data) != len(data):
                raise OSError(f"{self._events}: the disk took only a part of an event")
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(before)
            raise

    def entries(self, start: int = 0, limit: int | None = None) -> list[Entry]:
        """Return whole lines from the offset `start` on, at most `limit`."""
        found: list[Entry] = []
        with self._events.open("rb") as file:
            file.seek(start)
            while (limit is None or len(found) < limit) and (line := file.readline()).endswith(b"\n"):
                start += len(line)
                found.append(Entry(line, start))
        return found

    @property
    def size(self) -> int:
        """The offset behind the last event."""
        return self._events.stat().st_size

    @property
    def offset(self) -> int:
        """The offset behind the last event that was sent; 0 when it is unknown."""
        try:
            offset = int(self._offset.read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return offset if offset <= self.size else 0

    def acknowledge(self, offset: int) -> None:
        """Record that everything before `offset` was sent."""
        with replacing(self._offset, draft=self._offset.with_suffix(".offset.draft"), durable=False) as file:
            file.write(str(offset).encode())

    @property
    def unsent(self) -> int:
        """The number of events that wait."""
        return len(self.entries(self.offset))

    @property
    def waits(self) -> bool:
        """True if any event waits; cheaper than `unsent`."""
        return bool(self.entries(self.offset, limit=1))

    def close(self) -> None:
        """Close the file for appending."""
        self._file.close()
