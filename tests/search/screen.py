"""A program on a terminal, and all that the terminal shows of it, with what scrolled away."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from fcntl import ioctl

import pyte


class Screen:
    """A program on a pseudo-terminal, with an emulator that shows what it writes."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], *, lines: int, columns: int) -> None:
        self._emulator = pyte.HistoryScreen(columns, lines, history=100_000)
        self._stream = pyte.ByteStream(self._emulator)
        self._lock = threading.Lock()
        self._terminal, inside = pty.openpty()
        self.resize(lines, columns)
        without = {name: value for name, value in environment.items() if name not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            arguments,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=without | {"TERM": "xterm"},
            start_new_session=True,
        )
        os.close(inside)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, lines: int, columns: int) -> None:
        """Another size, as of a window that is drawn larger or smaller: what has no room any more scrolls away."""
        with self._lock:
            self._make_room(self._emulator.lines - lines, lines)
            self._emulator.resize(lines, columns)
            ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _make_room(self, fewer: int, lines: int) -> None:
        """The emulator would drop as many rows at the top as there are fewer, unseen and whatever they hold."""
        if fewer <= 0:
            return
        screen = self._emulator
        row, column = screen.cursor.y, screen.cursor.x
        above = max(0, row + 1 - lines)
        screen.cursor_position(screen.lines, 1)
        for _ in range(above):
            screen.index()
        screen.cursor_position(1, 1)
        screen.insert_lines(fewer)
        screen.resize(lines, screen.columns)
        screen.cursor_position(row + 1 - above, column + 1)

    def _read(self) -> None:
        while True:
            try:
                written = os.read(self._terminal, 65_536)
            except OSError:  # Linux: nothing has the other side open any more
                return
            with self._lock:
                self._stream.feed(written)

    def finish(self) -> list[str]:
        """Every row from the first on, once the program has ended."""
        code = self.process.wait(timeout=120)
        self._reader.join(timeout=120)  # the emulator is slower than the program that it shows
        os.close(self._terminal)
        screen = self._emulator
        rows = [*screen.history.top, *(screen.buffer[number] for number in range(screen.lines))]
        found = ["".join(row[column].data for column in range(screen.columns)).rstrip() for row in rows]
        assert code == 0, "\n".join(found)
        return found

    @property
    def shown(self) -> list[str]:
        """The rows on the screen now."""
        with self._lock:
            return [row.rstrip() for row in self._emulator.display]
