"""One reading for all who ask at the same time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shared(Generic[K, V]):
    """Reads for one caller of a key at a time; all who ask meanwhile share the next reading.

    Nobody is given what was read before it asked, so that who changed something sees the change.
    """

    def __init__(self, read: Callable[[K], V]) -> None:
        self._read = read
        self._lock = Lock()
        self._next: dict[K, Future[V]] = {}
        self._running: dict[K, Future[V]] = {}

    def __call__(self, key: K) -> V:
        with self._lock:
            reading = self._next.get(key)
            before = self._running.get(key)
            leads = reading is None
            if reading is None:
                reading = self._next[key] = Future()
        if leads:
            if before is not None:
                wait([before])
            self._lead(key, reading)
        return reading.result()

    def _lead(self, key: K, reading: Future[V]) -> None:
        with self._lock:
            self._running[key] = self._next.pop(key)  # who asks from now on has to wait for another one
        try:
            reading.set_result(self._read(key))
        except BaseException as error:
            reading.set_exception(error)
        finally:
            with self._lock:
                if self._running.get(key) is reading:
                    del self._running[key]
