"""What MLflow has of the trials of searches, and the documents made of it: read and made once for all who look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock, Thread
from typing import Any, TypeVar, cast

from cachetools import LRUCache
from pydantic import BaseModel

from search.service.cache.single_flight import Shared
from spaces.errors import RequestError, WorkError, one_line
from spaces.trials.records import State
from tracking.documents.building import build_front, build_trials
from tracking.documents.schemas import Axis, FrontDocument, TrialsDocument
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.runs import SearchRow, TrialRow, find_search, scan_trials

T = TypeVar("T")

FRESH_SECONDS = 2.0
"""So long a reading is given to everybody; longer where it took longer, so that others come to their turn."""

PATIENCE_SECONDS = 10.0
"""So much longer it is given while it is read again; longer where that takes seconds, as of thousands of trials."""

ENDED_SECONDS = 60.0
"""A search that has ended is read again after so long, unless it was taken up again."""

KEPT = 16
"""Searches whose trials are kept."""


class Spoiled(WorkError):
    """The records of a search hold what no search wrote."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A search with its trials, as they stood when it began; times are those of a clock that only goes on."""

    search: SearchRow
    trials: list[TrialRow]
    began: float
    ended: float
    checked: float
    _made: dict[Any, Any] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def front_document(self, *, confirmed: bool = False, axis: Axis = "trainable") -> FrontDocument:
        """The front."""
        make = partial(build_front, self.search, self.trials, confirmed=confirmed, axis=axis)
        return self._once(("front", confirmed, axis), make)

    def trials_document(self) -> TrialsDocument:
        """Everything that was trained."""
        return self._once("trials", partial(build_trials, self.search, self.trials))

    def json(self, document: BaseModel) -> bytes:
        """A document of this reading as it is sent."""
        return self._once(id(document), lambda: document.model_dump_json().encode())

    def _once(self, key: object, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._made:
                self._made[key] = self.guarded(make)
            return cast(T, self._made[key])

    def guarded(self, make: Callable[[], T]) -> T:
        """What is made of the records.

        Raises:
            Spoiled: when that cannot be.
        """
        try:
            return make()
        except RequestError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise Spoiled(f"search {self.search.name!r}: its records cannot be read ({one_line(error)})") from error


class Readings:
    """The trials of searches at one MLflow.

    Raises:
        RequestError: when MLflow does not answer, or has no such search.
        WorkError: when MLflow fails.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._shared = Shared(self._read)
        self._kept: LRUCache[str, Reading] = LRUCache(KEPT)
        self._states: dict[str, tuple[State, float]] = {}
        self._again: set[str] = set()
        self._lock = Lock()

    def of(self, name: str) -> Reading:
        """A search as it stands, or as it stood seconds ago."""
        kept = self._usable(name)
        if kept is None:
            return self._shared(name)
        age = time.monotonic() - kept.checked
        took = kept.ended - kept.began
        fresh = max(FRESH_SECONDS, took)
        if age > fresh + max(PATIENCE_SECONDS, 3 * took):
            return self._shared(name)
        if age > fresh:
            self._read_again(name)
        return kept

    def saw(self, searches: Iterable[SearchRow]) -> None:
        """How searches stand: what was read before one ended, or began again, is not given from now on."""
        now = time.monotonic()
        with self._lock:
            for one in searches:
                state, _ = self._states.get(one.name, (None, 0.0))
                if state != one.state:
                    self._states[one.name] = one.state, now

    def _usable(self, name: str) -> Reading | None:
        """What is kept, unless it was read before the search ended or began again."""
        with self._lock:
            kept = self._kept.get(name)
            _, changed = self._states.get(name, ("", 0.0))
        return kept if kept is not None and kept.began > changed else None

    def _read_again(self, name: str) -> None:
        """Once at a time, while others are given what is kept."""
        with self._lock:
            if name in self._again:
                return
            self._again.add(name)

        def read() -> None:
            try:
                with suppress(RequestError, WorkError):  # who waits for a reading is told
                    self._shared(name)
            finally:
                with self._lock:
                    self._again.discard(name)

        Thread(target=read, name=f"reading {name}", daemon=True).start()

    def _read(self, name: str) -> Reading:
        began = time.monotonic()
        kept = self._usable(name)
        with reading(self._uri) as client:
            search = find_search(client, name)
            if kept is not None and _has_ended(kept, search) and began - kept.ended < ENDED_SECONDS:
                found = replace(kept, checked=began)
            else:
                trials = scan_trials(client, search)
                ended = time.monotonic()
                found = Reading(search, trials, began, ended, checked=ended)
        with self._lock:
            self._kept[name] = found
        return found


def _has_ended(kept: Reading, search: SearchRow) -> bool:
    """Whether nothing more is written of the search, and it is the one that is kept."""
    return search.state != "running" and kept.search == search
