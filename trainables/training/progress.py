"""The progress of a training, written about once a second to a file that the search's driver reads."""

from __future__ import annotations

import time
from contextlib import suppress

from spaces.trials.ledger import TrialFolder
from spaces.trials.records import Progress

WRITE_SECONDS = 1.0


class ProgressFile:
    """Callbacks for every step with its loss, and for every token of an evaluation, which write some of them into the
    folder of the trial.
    """

    def __init__(self, folder: TrialFolder) -> None:
        self._folder = folder
        self._due = 0.0
        self._total = 0.0
        self._steps = 0
        self._last: float | None = None

    def __call__(self, step: int, loss: float) -> None:
        """Record a step.

        Raises:
            Superseded: when another driver has taken over the search.
        """
        self._total += loss
        self._steps += 1
        if time.monotonic() < self._due:
            return
        self._last = self._total / self._steps
        self._total, self._steps = 0.0, 0
        self._write(Progress(step=step, loss=self._last))

    def wrote(self, step: int, answers: int, of_answers: int, tokens: int) -> None:
        """Record how many answers the evaluation after `step` has written, and the tokens of those it is writing.

        Raises:
            Superseded: when another driver has taken over the search.
        """
        if time.monotonic() >= self._due:
            self._write(Progress(step=step, loss=self._last, answers=answers, of_answers=of_answers, tokens=tokens))

    def _write(self, progress: Progress) -> None:
        with suppress(OSError):  # only a display reads it, and a training continues without it
            self._folder.write_progress(progress)
        self._due = time.monotonic() + WRITE_SECONDS
