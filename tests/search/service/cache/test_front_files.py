"""A front becomes a file once for each snapshot."""

from __future__ import annotations

import time

from search.service.cache.front_files import FrontFiles
from search.service.cache.trial_cache import SearchSnapshot
from tests.tracking.examples import REFERENCE, search_row, trial_row


def test_a_file_is_made_once_of_a_reading() -> None:
    trials = [REFERENCE, trial_row("0000", 0.7, 100), trial_row("0001", 0.8, 900)]

    def read() -> SearchSnapshot:
        now = time.monotonic()
        return SearchSnapshot(search_row(), trials, now, now, now)

    files, first = FrontFiles(), read()
    for form in ("csv", "html", "png"):
        made = files.get(first, form, confirmed=False, axis="trainable")
        assert files.get(first, form, confirmed=False, axis="trainable") is made
        assert files.get(read(), form, confirmed=False, axis="trainable") is not made
        assert files.get(first, form, confirmed=False, axis="stored") is not made
