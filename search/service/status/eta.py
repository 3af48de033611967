"""Estimates of the time until a search has its last trial."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean, median

from tracking.mlflow_store.run_records import SearchRun, TrialRun

RECENT = 20
"""Ended trials, the last ones, from which the pace is taken."""


def seconds_left(trials: Sequence[TrialRun], planned: int) -> float | None:
    """Estimate the seconds until the last of `planned` trials ends, with as many at once as run now.

    A trial costs its training, the mean of recent trials, and the rest of its run, such as evaluations. Of the rest the
    median is taken: a trial that began before the search was stopped, and ended after it was resumed, seems to have
    taken all that time.

    Returns:
        None before a trial has ended, and after all have.
    """
    own = [one for one in trials if one.plan.kind == "trial"]
    ended = [one for one in own if one.state != "running"]
    if not ended or len(ended) >= planned:
        return None
    recent = ended[-RECENT:]
    trained = [one.metrics.get("train_seconds", 0.0) for one in recent]
    beside = [one.seconds - took for one, took in zip(recent, trained, strict=True) if one.seconds is not None]
    each = fmean(trained) + (median(beside) if beside else 0.0)
    return each * (planned - len(ended)) / max(1, len(own) - len(ended))


def seconds_left_since(row: SearchRun, progress: float) -> float | None:
    """Estimate the seconds left of a search that has run without a pause since its start, from its progress alone.

    Args:
        progress: the part of its trials that have ended, from 0 to 1.
    """
    return (time.time() - row.started / 1000) * (1 - progress) / progress if 0 < progress < 1 else None
