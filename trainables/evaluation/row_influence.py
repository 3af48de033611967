"""The values of a metric by row: outcomes; or influences of rows, for metrics that are no mean over rows.

An influence is how far a row moves the metric, to first order (the infinitesimal jackknife, Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 21): for a metric m of weights of the rows, m + n ∂m/∂wᵢ. The mean of these
values is the metric, and their standard deviation over √n is its standard error, the same that a bootstrap over rows
finds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from trainables.evaluation.class_scores import auc_values, f1_values, occurring
from trainables.evaluation.predictions import Predictions, f1_class

Values = npt.NDArray[np.float64]


def row_values(metric: str, outputs: Predictions, positive: int | None = None) -> Values:
    """Return the values of one of the metrics in `spaces.spec.metrics`, shape (examples,); arguments as for `score`.

    If a metric is undefined by its formula and constant by convention, no row moves it.
    """
    if metric == "f1":
        position = f1_class(outputs, positive)
        return _f1_macro(outputs) if position is None else _f1_of(position, outputs)
    values = _VALUES[metric](outputs)
    return values if len(values) == len(outputs.terms) else _summed_by_row(values, outputs)


def _summed_by_row(values: Values, outputs: Predictions) -> Values:
    """Return the values of rows from those of their words: together the words move the metric as their row does."""
    mean = float(values.mean())
    starts = np.concatenate([[0], np.cumsum(outputs.terms)[:-1]])
    moved: Values = np.add.reduceat(values - mean, starts) / len(values)
    return mean + len(moved) * moved


def _outcomes(outputs: Predictions) -> Values:
    right = outputs.predicted == outputs.references
    values: Values = (right.all(axis=1) if outputs.are_sets else right).astype(np.float64)
    return values


def _f1_micro(outputs: Predictions) -> Values:
    if not outputs.are_sets:
        return _outcomes(outputs)
    right, both = outputs.counts()
    return f1_values(right.sum(axis=1), both.sum(axis=1))


def _f1_of_sets(outputs: Predictions) -> Values:
    """Return the values of the mean F1 over the labels that occur."""
    right, both = outputs.counts()
    found = [f1_values(right[:, label], both[:, label]) for label in occurring(both)]
    return np.mean(found, axis=0) if found else np.zeros(len(both))


def _auc(outputs: Predictions) -> Values:
    assert outputs.scores is not None
    return auc_values(outputs.scores, outputs.references)


def _losses(outputs: Predictions) -> Values:
    """Return the values of the loss: its mean over terms is a ratio of two sums over rows, and each row moves both."""
    mean = outputs.loss
    apart: Values = (outputs.losses - mean * outputs.terms) / outputs.terms.mean()
    return mean + apart


def _perplexities(outputs: Predictions) -> Values:
    value = math.exp(outputs.loss) if outputs.loss < _LARGEST else math.inf
    return value * (1 + _losses(outputs) - outputs.loss)


_LARGEST = math.log(np.finfo(np.float64).max)


def _counts(outputs: Predictions) -> tuple[Values, Values, Values]:
    """Return for each class how often it was right, how often it occurs, and how often it was predicted."""
    predicted, wanted, classes = outputs.predicted, outputs.references, outputs.classes
    right = np.bincount(wanted[predicted == wanted], minlength=classes)
    found = (right, np.bincount(wanted, minlength=classes), np.bincount(predicted, minlength=classes))
    return tuple(one.astype(np.float64) for one in found)  # type: ignore[return-value]


def _f1_slopes(outputs: Predictions) -> tuple[Values, Values, Values]:
    """Return F1 of each class, 2a / (b + c), and its slopes by a and by b or c."""
    right, wanted, predicted = _counts(outputs)
    both = wanted + predicted
    safe = np.where(both > 0, both, 1.0)
    return 2 * right / safe, np.where(both > 0, 2 / safe, 0.0), np.where(both > 0, 2 * right / safe**2, 0.0)


def _f1_of(position: int, outputs: Predictions) -> Values:
    value, by_right, by_other = (slopes[position] for slopes in _f1_slopes(outputs))
    found, wanted = outputs.predicted == position, outputs.references == position
    moved: Values = (found & wanted) * by_right - (found.astype(np.float64) + wanted) * by_other
    return float(value) + len(moved) * moved


def _f1_macro(outputs: Predictions) -> Values:
    if outputs.are_sets:
        return _f1_of_sets(outputs)
    value, by_right, by_other = _f1_slopes(outputs)
    _, wanted, predicted = _counts(outputs)
    occurring = wanted + predicted > 0
    moved: Values = _outcomes(outputs) * by_right[outputs.references]
    moved -= by_other[outputs.references] + by_other[outputs.predicted]
    moved /= occurring.sum()
    return float(value[occurring].mean()) + len(moved) * moved


def _matthews(outputs: Predictions) -> Values:
    """Return the values of Gorodkin's R_K = (c s - Σ t p) / √((s² - Σ p²) (s² - Σ t²)) of s rows, c of them right."""
    right, wanted, predicted = _counts(outputs)
    rows, correct = float(len(outputs.predicted)), float(right.sum())
    covariance = correct * rows - float(wanted @ predicted)
    of_predicted, of_wanted = rows**2 - float(predicted @ predicted), rows**2 - float(wanted @ wanted)
    if not of_predicted or not of_wanted:
        return np.zeros(len(outputs.predicted))
    value = covariance / math.sqrt(of_predicted * of_wanted)
    moved: Values = _outcomes(outputs) * rows + correct - predicted[outputs.references] - wanted[outputs.predicted]
    moved /= math.sqrt(of_predicted * of_wanted)
    moved -= value * (rows - predicted[outputs.predicted]) / of_predicted
    moved -= value * (rows - wanted[outputs.references]) / of_wanted
    return value + rows * moved


def _pearson(outputs: Predictions) -> Values:
    left, right = (_standard(one) for one in (outputs.predicted, outputs.references))
    value = float((left * right).mean())
    return value + left * right - value / 2 * (left**2 + right**2)


def _spearman(outputs: Predictions) -> Values:
    """Return the values of Pearson's correlation of the ranks. A row also moves the ranks of all others."""
    left, right = (_Ranks(one) for one in (outputs.predicted, outputs.references))
    pairs = ((left, right), (left, left), (right, right))
    covariance, of_left, of_right = (float((one.centred * other.centred).mean()) for one, other in pairs)
    if not of_left or not of_right:
        return np.zeros(len(outputs.predicted))
    value = covariance / math.sqrt(of_left * of_right)
    moved: Values = left.centred * right.centred - covariance + left.moving(right.centred) + right.moving(left.centred)
    moved /= math.sqrt(of_left * of_right)
    moved -= value / 2 * (left.centred**2 - of_left + 2 * left.moving(left.centred)) / of_left
    moved -= value / 2 * (right.centred**2 - of_right + 2 * right.moving(right.centred)) / of_right
    return value + moved


class _Ranks:
    """Ranks as fractions of the rows, less a half; equal numbers have their mean rank."""

    def __init__(self, numbers: npt.NDArray[Any]) -> None:
        self._distinct, self._place = np.unique(numbers, return_inverse=True)
        self.centred: Values = (stats.rankdata(numbers) - 0.5) / len(numbers) - 0.5

    def moving(self, weights: Values) -> Values:
        """Return for each row i the mean over all rows j of weights times the change that i makes in the rank of j.

        That is 1 if j is larger and a half if both are equal, less the rank that it had.
        """
        at = np.bincount(self._place, weights=weights, minlength=len(self._distinct))
        above = at.sum() - np.cumsum(at)
        moved: Values = (above + at / 2)[self._place] / len(weights)
        return moved - float((weights * (self.centred + 0.5)).mean())


def _standard(numbers: npt.NDArray[Any]) -> Values:
    apart: Values = numbers.astype(np.float64) - numbers.astype(np.float64).mean()
    spread = float(np.sqrt((apart**2).mean()))
    return apart / spread if spread else np.zeros(len(apart))


_VALUES: Mapping[str, Callable[[Predictions], Values]] = {
    "accuracy": _outcomes,
    "f1-micro": _f1_micro,
    "f1-macro": _f1_macro,
    "auc": _auc,
    "seqeval-f1": lambda outputs: f1_values(*outputs.counts()),
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
    "exact-match": _outcomes,
    "loss": _losses,
    "perplexity": _perplexities,
}
