"""The evaluations of a training as one tag of its run, so that a list of trials needs no query for each."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
from pydantic import ValidationError

from spaces.trials.records import Rung

MOST = 64
"""Evaluations in a tag: as text they are shorter than the 8,000 characters that MLflow takes."""

_FIELDS = ("step", "quality", "loss", "quality_se", "loss_se")


def rung_tag(rungs: Sequence[Rung]) -> str:
    """Return the evaluations as text: a list in JSON, in it a list of step, quality, loss and the errors of both.

    Of more than `MOST` so many are kept, spread evenly, the first and the last among them. The metrics of the run hold
    all of them.
    """
    kept = np.unique(np.linspace(0, len(rungs) - 1, min(len(rungs), MOST)).round().astype(int))
    return json.dumps([[_finite(getattr(rungs[place], field)) for field in _FIELDS] for place in kept])


def rungs_in(text: str | None) -> tuple[Rung, ...]:
    """Return the evaluations that `rung_tag` wrote; none if there is no text, or it cannot be read."""
    try:
        rows = json.loads(text or "[]")
        return tuple(Rung(**dict(zip(_FIELDS, row, strict=True))) for row in rows)
    except (ValueError, TypeError, RecursionError, ValidationError):
        return ()


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
