"""A training that tells how far it is, once a second, in a file that the search's driver reads."""

from __future__ import annotations

import time
from contextlib import suppress

from spaces.trials.ledger import TrialFolder
from spaces.trials.records import Progress

WRITE_SECONDS = 1.0


class ProgressFile:
    """Is called with every step and its loss, and writes some of them into the folder of the trial."""

    def __init__(self, folder: TrialFolder) -> None:
        self._folder = folder
        self._due = 0.0
        self._total = 0.0
        self._steps = 0

    def __call__(self, step: int, loss: float) -> None:
        """Take in a step.

        Raises:
            Superseded: when another driver has taken the search up.
        """
        self._total += loss
        self._steps += 1
        if time.monotonic() < self._due:
            return
        with suppress(OSError):  # it is only looked at, and a training goes on without it
            self._folder.write_progress(Progress(step=step, loss=self._total / self._steps))
        self._total, self._steps = 0.0, 0
        self._due = time.monotonic() + WRITE_SECONDS
