"""Fronts as files: each is made once of a reading, one at a time, and given to all who ask for it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Lock
from typing import Literal

from cachetools import LRUCache

from search.service.cache.trial_cache import Reading
from tracking.documents.schemas import Axis
from tracking.reports.plots import front_html, front_png
from tracking.reports.tables import front_csv

Form = Literal["csv", "html", "png"]

KEPT_BYTES = 48 << 20
"""Of all files together; a page with its script takes five million bytes."""


class Files:
    """The files of fronts; the last ones that were asked for are kept."""

    def __init__(self) -> None:
        self._kept: LRUCache[object, bytes] = LRUCache(KEPT_BYTES, getsizeof=len)
        self._lock = Lock()
        self._making = Lock()

    def of(self, reading: Reading, form: Form, *, confirmed: bool, axis: Axis) -> bytes:
        """The front of a reading as a table or a picture."""
        key = reading.search.run_id, reading.began, form, confirmed, axis
        if (kept := self._get(key)) is not None:
            return kept
        with self._making:
            if (kept := self._get(key)) is None:  # made by another one meanwhile
                kept = reading.guarded(lambda: _made(reading, form, confirmed=confirmed, axis=axis))
                with self._lock:
                    self._kept[key] = kept
        return kept

    def _get(self, key: object) -> bytes | None:
        with self._lock:
            found: bytes | None = self._kept.get(key)
            return found


def _made(reading: Reading, form: Form, *, confirmed: bool, axis: Axis) -> bytes:
    document = reading.front_document(confirmed=confirmed, axis=axis)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"front.{form}"
        if form == "csv":
            front_csv(document, path)
        else:
            draw = front_html if form == "html" else front_png
            draw(document, reading.trials_document(), path, confirmed=confirmed, axis=axis)
        return path.read_bytes()
