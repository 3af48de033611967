"""A cache of the trials that MLflow has of searches, and of the documents made from them (stale while revalidate)."""

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

from search.service.cache.single_flight import SingleFlight
from spaces.errors import RequestError, WorkError, one_line
from spaces.trials.records import State
from tracking.documents.building import build_front, build_trials
from tracking.documents.schemas import Axis, FrontDocument, TrialsDocument
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.run_records import SearchRun, TrialRun
from tracking.mlflow_store.runs import find_search, scan_trials

T = TypeVar("T")

FRESH_SECONDS = 2.0
"""Age up to which a snapshot is returned as it is; at least as long as its read took, so that reads do not pile up."""

PATIENCE_SECONDS = 10.0
"""Further age up to which it is returned while a thread reads; more where a read takes seconds (many trials)."""

ENDED_SECONDS = 60.0
"""Age after which a search that has ended is read again all the same, as its record may have been edited."""

KEPT = 16
"""Searches whose snapshots are kept, the most recently used ones."""


class SpoiledRecords(WorkError):
    """The records of a search hold values that no search wrote."""


@dataclass(frozen=True, eq=False)
class SearchSnapshot:
    """A search and its trials as one read found them, and the documents made from them.

    Attributes:
        began, ended: start and end of the read, in seconds of the monotonic clock.
        checked: when the search was last found unchanged.
    """

    search: SearchRun
    trials: list[TrialRun]
    began: float
    ended: float
    checked: float
    _made: dict[Any, Any] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def front_document(self, *, confirmed: bool = False, axis: Axis = "trainable") -> FrontDocument:
        """Return the front; made once for each combination of arguments."""
        make = partial(build_front, self.search, self.trials, confirmed=confirmed, axis=axis)
        return self._once(("front", confirmed, axis), make)

    def trials_document(self) -> TrialsDocument:
        """Return every training of the search; made once."""
        return self._once("trials", partial(build_trials, self.search, self.trials))

    def json(self, document: BaseModel) -> bytes:
        """Return a document of this snapshot as JSON; encoded once."""
        return self._once(id(document), lambda: document.model_dump_json().encode())

    def _once(self, key: object, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._made:
                self._made[key] = self.guarded(make)
            return cast(T, self._made[key])

    def guarded(self, make: Callable[[], T]) -> T:
        """Return what `make` makes of the records.

        Raises:
            SpoiledRecords: when it fails on a value in them.
        """
        try:
            return make()
        except RequestError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise SpoiledRecords(
                f"search {self.search.name!r}: its records cannot be read ({one_line(error)})"
            ) from error


class TrialCache:
    """Snapshots of the searches at one MLflow.

    A fresh one is returned at once, an older one while a thread replaces it; callers that must wait share one read.
    (`cachetools.TTLCache` knows neither of these rules.)
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._shared = SingleFlight(self._read)
        self._kept: LRUCache[str, SearchSnapshot] = LRUCache(KEPT)
        self._states: dict[str, tuple[State, float]] = {}
        self._again: set[str] = set()
        self._lock = Lock()

    def get(self, name: str) -> SearchSnapshot:
        """Return a search as it is, or was seconds ago.

        Raises:
            RequestError: when MLflow does not answer, or has no such search.
            WorkError: when MLflow fails.
        """
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

    def note_states(self, searches: Iterable[SearchRun]) -> None:
        """Note the states of searches; snapshots older than a change of state are not returned any more."""
        now = time.monotonic()
        with self._lock:
            for one in searches:
                state, _ = self._states.get(one.name, (None, 0.0))
                if state != one.state:
                    self._states[one.name] = one.state, now

    def _usable(self, name: str) -> SearchSnapshot | None:
        """Return the snapshot that is kept, unless it was read before the state of the search changed."""
        with self._lock:
            kept = self._kept.get(name)
            _, changed = self._states.get(name, ("", 0.0))
        return kept if kept is not None and kept.began > changed else None

    def _read_again(self, name: str) -> None:
        """Replace a snapshot in a thread, one at a time for each search."""
        with self._lock:
            if name in self._again:
                return
            self._again.add(name)

        def read() -> None:
            try:
                with suppress(RequestError, WorkError):  # a caller that waits for a read gets the error
                    self._shared(name)
            finally:
                with self._lock:
                    self._again.discard(name)

        Thread(target=read, name=f"trials of {name}", daemon=True).start()

    def _read(self, name: str) -> SearchSnapshot:
        began = time.monotonic()
        kept = self._usable(name)
        with reading(self._uri) as client:
            search = find_search(client, name)
            if kept is not None and _has_ended(kept, search) and began - kept.ended < ENDED_SECONDS:
                found = replace(kept, checked=began)
            else:
                trials = scan_trials(client, search)
                ended = time.monotonic()
                found = SearchSnapshot(search, trials, began, ended, checked=ended)
        with self._lock:
            self._kept[name] = found
        return found


def _has_ended(kept: SearchSnapshot, search: SearchRun) -> bool:
    """Tell whether the search has ended and its record is the one that is kept."""
    return search.state != "running" and kept.search == search
