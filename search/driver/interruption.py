"""Ending a search before its last trial: a time limit, or a signal. What runs is left to a resume."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from ray import tune

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS = 0.1
LOOK_SECONDS = 0.5


class Interruption:
    """Whether the search is to end, and whether it was ended.

    `time_limit`: seconds from now on after which it is to end. `mark`: a file that asks for the end, from wherever it
    is made. A first signal ends the search cleanly; a second one at once. `ended`: why a stage was cut short, if one
    was. `hopeless`: why nothing that is still to be trained could succeed, where that was found.
    """

    def __init__(self, time_limit: float | None = None, mark: Path | None = None) -> None:
        self.ended: str | None = None
        self.hopeless: str | None = None
        self._mark = mark
        self._marked = False
        self._looked = -math.inf
        self._limit = time_limit
        self._deadline = None if time_limit is None else time.monotonic() + time_limit
        self._signal: str | None = None
        self._signals = 0

    @property
    def reason(self) -> str | None:
        """Why to end, in a few words; None: go on."""
        if self.hopeless is not None:
            return self.hopeless
        if self._signal is not None:
            return f"interrupted ({self._signal})"
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"search.time_limit = {self._limit:g} s has passed"
        return "it was asked to stop" if self._is_marked() else None

    def give_up(self, reason: str) -> None:
        """End the search: nothing that is still to be trained could succeed."""
        self.hopeless = reason

    def _is_marked(self) -> bool:
        """Whether the mark was made; it may lie on another machine, so it is not looked for all the time."""
        now = time.monotonic()
        if not self._marked and self._mark is not None and now - self._looked >= LOOK_SECONDS:
            self._looked, self._marked = now, self._mark.exists()
        return self._marked

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Take signals meanwhile; nothing where a thread other than the main one asks.

        Raises:
            KeyboardInterrupt: at the second signal.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        arrived, arriving = socket.socketpair()
        with arrived, arriving:
            arrived.setblocking(False)
            arriving.setblocking(False)
            descriptor = signal.set_wakeup_fd(arriving.fileno(), warn_on_full_buffer=False)
            before = {number: signal.signal(number, partial(self._take, arrived)) for number in SIGNALS}
            sys.unraisablehook, hook = self._raise_again, sys.unraisablehook
            try:
                yield
            finally:
                sys.unraisablehook = hook
                for number, handler in before.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(descriptor)

    def _take(self, arrived: socket.socket, number: int, frame: FrameType | None) -> None:
        # Python calls a handler once for signals that came together while it was busy; the socket has a byte for each.
        numbers = b""
        with contextlib.suppress(BlockingIOError):
            numbers = arrived.recv(1024)
        self._signals += max(1, sum(one in SIGNALS for one in numbers))
        self._signal = self._signal or signal.Signals(number).name
        if self._signals > 1:
            raise KeyboardInterrupt

    def _raise_again(self, lost: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised while it collects garbage, where a signal is often taken."""
        if lost.exc_type is KeyboardInterrupt:
            threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            sys.__unraisablehook__(lost)


class EndWhenInterrupted(tune.Stopper):  # type: ignore[misc]
    """Lets Tune end every trial once there is a reason; none of them has a result then."""

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never one trial alone."""
        return False

    def stop_all(self) -> bool:
        """Whether the stage is to end."""
        self._interruption.ended = self._interruption.reason
        return self._interruption.ended is not None
