"""Single flight: concurrent callers of one key share one read."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Call `read` for one caller of a key at a time; callers that arrive during a read share the next one.

    A caller never receives a read that began before its call, so a writer sees its own write. That rule is why this is
    no `cachetools` cache with a condition, whose callers would join the read that is under way.
    """

    def __init__(self, read: Callable[[K], V]) -> None:
        self._read = read
        self._lock = Lock()
        self._next: dict[K, Future[V]] = {}
        self._running: dict[K, Future[V]] = {}

    def __call__(self, key: K) -> V:
        """Return what a read of `key` that begins now, or later, returns.

        Raises:
            BaseException: whatever `read` raises, to every caller that shares the read.
        """
        with self._lock:
            future = self._next.get(key)
            before = self._running.get(key)
            leads = future is None
            if future is None:
                future = self._next[key] = Future()
        if leads:
            if before is not None:
                wait([before])
            self._lead(key, future)
        return future.result()

    def _lead(self, key: K, future: Future[V]) -> None:
        with self._lock:
            self._running[key] = self._next.pop(key)  # later callers wait for another read
        try:
            future.set_result(self._read(key))
        except BaseException as error:
            future.set_exception(error)
        finally:
            with self._lock:
                if self._running.get(key) is future:
                    del self._running[key]
