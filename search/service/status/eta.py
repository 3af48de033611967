"""How long a search will still take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean, median

from tracking.mlflow_store.run_records import SearchRun, TrialRun

RECENT = 20
"""Trials by whose pace the next ones are judged."""


def seconds_left(trials: Sequence[TrialRun], planned: int) -> float | None:
    """Until the last trial ends, at the pace of the last ones that ended, with as many at once as run now.

    What a trial took is its training and what came beside it, such as evaluations. Of the latter the median counts:
    a trial that began before the search was stopped, and ended after it was resumed, seems to have taken all that time.
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
    """Likewise, of a search that has run from its start to now, without its trials."""
    return (time.time() - row.started / 1000) * (1 - progress) / progress if 0 < progress < 1 else None
