"""Standard errors of a quality and of a loss, for rows drawn at random from many more."""

from __future__ import annotations

import math

import numpy as np

from spaces.trials.row_values import unpack
from trainables.evaluation.predictions import Measured, Predictions


def loss_error(outputs: Predictions) -> float | None:
    """Return the standard error of the mean loss; None if it is not known, as of a single row.

    The mean over terms is a ratio r = Σ lᵢ / Σ tᵢ of two sums over rows, of their losses lᵢ and their terms tᵢ. Its
    error is √(n / (n − 1) Σ (lᵢ − r tᵢ)²) / Σ tᵢ (Cochran, Sampling Techniques, 3rd edition, 1977, section 2.11). Rows
    are drawn, and not terms, because the tokens of one row are alike.
    """
    rows, terms = len(outputs.losses), float(outputs.terms.sum())
    if rows < 2 or not terms or not outputs.finite:
        return None
    apart = outputs.losses - outputs.losses.sum() / terms * outputs.terms
    return _known(math.sqrt(rows / (rows - 1) * float(np.sum(apart**2))) / terms)


def quality_error(measured: Measured) -> float | None:
    """Return the standard error of a quality from its values by row; None if it is not known, as of a single row."""
    values = unpack(measured.row_values)
    return None if values is None else _known(values.error)


def _known(error: float) -> float | None:
    return error if math.isfinite(error) else None
