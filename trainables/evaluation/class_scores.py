"""Measures of sets of labels, of scores of classes and of tags, each with the counts that it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from seqeval.metrics.sequence_labeling import get_entities

Array = npt.NDArray[Any]
Values = npt.NDArray[np.float64]
Counts = tuple[Values, Values]


def set_counts(predicted: Array, references: Array) -> Counts:
    """Return by row and label, both of shape (rows, labels): whether it is rightly predicted, and how many of the two
    sides have it.

    Args:
        predicted: whether a row was given a label, shape (rows, labels).
        references: whether it has it.
    """
    found, wanted = predicted.astype(bool), references.astype(bool)
    return (found & wanted).astype(np.float64), found.astype(np.float64) + wanted


def chunk_counts(predicted: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Counts:
    """Return by row, both of shape (rows,): chunks that are rightly predicted, and chunks of both sides together.

    Chunks are those that seqeval's default mode finds in a row of tags, as the script conlleval does: a chunk is right
    if its type, its first and its last word are.
    """
    right, both = [], []
    for one, other in zip(predicted, references, strict=True):
        found, wanted = set(get_entities(list(one))), set(get_entities(list(other)))
        right.append(len(found & wanted))
        both.append(len(found) + len(wanted))
    return np.array(right, dtype=np.float64), np.array(both, dtype=np.float64)


def f1(right: Values, both: Values) -> float:
    """Return F1, 2 Σ right / Σ both; 0 if there is nothing on either side."""
    total = float(both.sum())
    return 2 * float(right.sum()) / total if total else 0.0


def f1_values(right: Values, both: Values) -> Values:
    """Return the influence of each row on `f1`, shape (rows,); see `trainables.evaluation.row_influence`."""
    value, total = f1(right, both), float(both.sum())
    if not total:
        return np.zeros(len(both))
    values: Values = value + len(both) * (2 * right - value * both) / total
    return values


def occurring(both: Values) -> npt.NDArray[np.int64]:
    """Return the labels that occur on one of the sides, of counts of shape (rows, labels)."""
    return np.flatnonzero(both.sum(axis=0))


def one_against_rest(scores: Array, references: Array) -> Iterator[tuple[Values, npt.NDArray[np.bool_]]]:
    """Yield a score of each row, and whether the row is positive: for each class with rows on both sides.

    Of two classes only the second is tried, because the first gives the same area under the curve.

    Args:
        scores: shape (rows, classes).
        references: positions of classes, shape (rows,); or 0 and 1, shape (rows, classes).
    """
    apart = references.ndim == 1
    for place in range(scores.shape[1]):
        positive = references == place if apart else references[:, place] > 0
        if (apart and scores.shape[1] == 2 and place == 0) or positive.all() or not positive.any():
            continue
        yield scores[:, place].astype(np.float64), positive


def auc(scores: Array, references: Array) -> float:
    """Return the area under the ROC curve, the mean over classes, each against the rest.

    Classes that all rows or none have do not count. It is 0.5 if there are no others.
    """
    found = [placements(*one).mean() for one in one_against_rest(scores, references)]
    return float(np.mean(found)) if found else 0.5


def auc_values(scores: Array, references: Array) -> Values:
    """Return the influence of each row on `auc`, shape (rows,), by DeLong's placement values (Biometrics 44, 1988)."""
    found = []
    for score, positive in one_against_rest(scores, references):
        placed = _by_side(score, positive)
        value = placed[positive].mean()
        found.append(value + len(placed) * (placed - value) / _side_sizes(positive))
    return np.mean(found, axis=0) if found else np.full(len(scores), 0.5)


def placements(score: Values, positive: npt.NDArray[np.bool_]) -> Values:
    """Return for each positive row the share of negative rows with a lower score; equal ones count half."""
    return _by_side(score, positive)[positive]


def _by_side(score: Values, positive: npt.NDArray[np.bool_]) -> Values:
    """Return for each row the share of the other side's rows that are on the right side of it."""
    ranks = stats.rankdata(score)
    values = np.empty(len(score))
    for side, sign in ((positive, 1.0), (~positive, -1.0)):
        below = (ranks[side] - stats.rankdata(score[side])) / (~side).sum()
        values[side] = below if sign > 0 else 1 - below
    return values


def _side_sizes(positive: npt.NDArray[np.bool_]) -> Values:
    sizes: Values = np.where(positive, positive.sum(), (~positive).sum()).astype(np.float64)
    return sizes
