"""The early end of a search: a time limit, a signal, the stop marker. A resume goes on with what ran."""

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
    """Reasons to end the search, and the reason that ended it.

    A first signal ends the search cleanly, a second one at once.

    Args:
        time_limit: Seconds from now.
        stop_marker: A file that asks for the end, made on any node.

    Attributes:
        ended: The reason that cut a run short, if one did.
        hopeless: The reason why no training to come could succeed, once that was found.
    """

    def __init__(self, time_limit: float | None = None, stop_marker: Path | None = None) -> None:
        self.ended: str | None = None
        self.hopeless: str | None = None
        self._stop_marker = stop_marker
        self._stop_seen = False
        self._looked = -math.inf
        self._limit = time_limit
        self._deadline = None if time_limit is None else time.monotonic() + time_limit
        self._signal: str | None = None
        self._signals = 0

    @property
    def reason(self) -> str | None:
        """The reason to end, in a few words; None to go on."""
        if self.hopeless is not None:
            return self.hopeless
        if self._signal is not None:
            return f"interrupted ({self._signal})"
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"search.time_limit = {self._limit:g} s has passed"
        return "it was asked to stop" if self._is_asked_to_stop() else None

    def give_up(self, reason: str) -> None:
        """End the search, because no training to come could succeed."""
        self.hopeless = reason

    def _is_asked_to_stop(self) -> bool:
        """Return whether the stop marker is there, looking seldom: it may lie on another machine."""
        now = time.monotonic()
        if not self._stop_seen and self._stop_marker is not None and now - self._looked >= LOOK_SECONDS:
            self._looked, self._stop_seen = now, self._stop_marker.exists()
        return self._stop_seen

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Handle signals within the block; in a thread other than the main one, do nothing.

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
        # Python calls a handler once for signals that arrive together while it is busy; the socket has a byte for each.
        numbers = b""
        with contextlib.suppress(BlockingIOError):
            numbers = arrived.recv(1024)
        self._signals += max(1, sum(one in SIGNALS for one in numbers))
        self._signal = self._signal or signal.Signals(number).name
        if self._signals > 1:
            raise KeyboardInterrupt

    def _raise_again(self, lost: sys.UnraisableHookArgs) -> None:
        """Raise again a KeyboardInterrupt that Python dropped, as it does in garbage collection."""
        if lost.exc_type is KeyboardInterrupt:
            threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            sys.__unraisablehook__(lost)


class EndWhenInterrupted(tune.Stopper):  # type: ignore[misc]
    """Ends every trial of a run of Tune once there is a reason; such trials have no result.

    Ray's own `TimeoutStopper` would begin to count at the first check of each run, but the limit is one deadline over
    the whole search; nor does it tell why it stopped.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never end one trial alone."""
        return False

    def stop_all(self) -> bool:
        """Return whether the run is to end."""
        self._interruption.ended = self._interruption.reason
        return self._interruption.ended is not None
