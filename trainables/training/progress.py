"""The progress of a training, written about once a second to a file that the search's driver reads."""

from __future__ import annotations

import time
from contextlib import suppress

from spaces.trials.ledger import TrialFolder
from spaces.trials.records import Progress

WRITE_SECONDS = 1.0


class ProgressFile:
    """A callback for every step and its loss, which writes some of them into the folder of the trial."""

    def __init__(self, folder: TrialFolder) -> None:
        self._folder = folder
        self._due = 0.0
        self._total = 0.0
        self._steps = 0

    def __call__(self, step: int, loss: float) -> None:
        """Record a step.

        Raises:
            Superseded: when another driver has taken over the search.
        """
        self._total += loss
        self._steps += 1
        if time.monotonic() < self._due:
            return
        with suppress(OSError):  # only a display reads it, and a training continues without it
            self._folder.write_progress(Progress(step=step, loss=self._total / self._steps))
        self._total, self._steps = 0.0, 0
        self._due = time.monotonic() + WRITE_SECONDS
