"""A cache of fronts as files: tables, pages and images, each made once from a snapshot and one at a time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Lock
from typing import Literal

from cachetools import LRUCache

from search.service.cache.trial_cache import SearchSnapshot
from tracking.documents.schemas import Axis
from tracking.reports.plots import front_html, front_png
from tracking.reports.tables import front_csv

Form = Literal["csv", "html", "png"]

KEPT_BYTES = 48 << 20
"""Of all files together; a page with Plotly's script takes five million bytes."""


class FrontFiles:
    """The files of fronts, of which the least recently used are dropped above `KEPT_BYTES`."""

    def __init__(self) -> None:
        self._kept: LRUCache[object, bytes] = LRUCache(KEPT_BYTES, getsizeof=len)
        self._lock = Lock()
        self._making = Lock()

    def get(self, snapshot: SearchSnapshot, form: Form, *, confirmed: bool, axis: Axis) -> bytes:
        """Return the front of a snapshot as a file.

        Args:
            confirmed: only confirmed points, by their confirmed quality.
            axis: the count that quality is traded for.
        """
        key = snapshot.search.run_id, snapshot.began, form, confirmed, axis
        if (kept := self._get(key)) is not None:
            return kept
        with self._making:
            if (kept := self._get(key)) is None:  # another caller may have made it in between
                kept = snapshot.guarded(lambda: _made(snapshot, form, confirmed=confirmed, axis=axis))
                with self._lock:
                    self._kept[key] = kept
        return kept

    def _get(self, key: object) -> bytes | None:
        with self._lock:
            found: bytes | None = self._kept.get(key)
            return found


def _made(snapshot: SearchSnapshot, form: Form, *, confirmed: bool, axis: Axis) -> bytes:
    document = snapshot.front_document(confirmed=confirmed, axis=axis)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"front.{form}"
        if form == "csv":
            front_csv(document, path)
        else:
            draw = front_html if form == "html" else front_png
            draw(document, snapshot.trials_document(), path, confirmed=confirmed, axis=axis)
        return path.read_bytes()
