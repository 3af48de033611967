"""Significance: which points near the front differ, and which trainings on fresh seeds would settle their order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from spaces.pareto.point import Point
from spaces.spec.metrics import Mode
from spaces.trials.row_values import RowValues, average, paired_error

LEVEL = 0.95
"""Confidence with which two points that are told apart differ."""


def near_front(
    trials: Sequence[Point],
    points: Sequence[Point],
    most: int,
    *,
    mode: Mode,
    noise: Callable[[Point, Point], float],
) -> list[Point]:
    """Return trials beside the front that may be as good as a point on it, since the luckiest are not always the best.

    Args:
        trials: all finished trials.
        points: the whole front.
        most: the largest number to return, the nearest to the front first.
        mode: direction of the quality.
        noise: the standard error of the difference of two trials, which a trial may be behind the best point of at most
            as many parameters.
    """
    sign = 1.0 if mode == "max" else -1.0
    taken = {point.trial for point in points}
    behind: list[tuple[float, Point]] = []
    for one in trials:
        rivals = [point for point in points if point.parameters <= one.parameters]
        if one.trial in taken or not rivals:
            continue
        best = max(rivals, key=lambda point: sign * point.quality)
        gap = sign * (best.quality - one.quality)
        if gap <= noise(best, one):
            behind.append((gap, one))
    return [one for _, one in sorted(behind, key=lambda found: (found[0], found[1].trial))[:most]]


@dataclass(frozen=True)
class Score:
    """The quality of one training, and its values on the validation rows if they are known."""

    quality: float
    rows: RowValues | None = None


@dataclass(frozen=True)
class Spread:
    """The variance between seeds, assumed equal for all trials, with its degrees of freedom; 0 if it is not known."""

    variance: float
    freedom: int

    @classmethod
    def of(cls, scores: Iterable[Sequence[float]]) -> Spread:
        """Pool the variance over the qualities of several trials, each on several seeds."""
        known = [one for one in scores if len(one) > 1]
        freedom = sum(len(one) - 1 for one in known)
        pooled = sum(statistics.variance(one) * (len(one) - 1) for one in known)
        return cls(pooled / freedom if freedom else 0.0, freedom)


def told_apart(left: Sequence[Score], right: Sequence[Score], spread: Spread) -> bool:
    """Return whether the means of two trials differ significantly, given the errors of seeds and rows.

    If both trials have values on the same rows, the error of the rows is that of the mean difference, as in a paired
    t-test; otherwise it is that of two separate means. The variances of seeds and rows add, with the degrees of freedom
    of Welch and Satterthwaite. If no trial has a second seed the rows alone decide, and the other way round; if neither
    is known, nothing differs.
    """
    if not left or not right:
        return False
    parts = _variances(left, right, spread)
    return bool(parts) and abs(_mean(left) - _mean(right)) > _margin(parts)


def error_of_difference(left: Sequence[Score], right: Sequence[Score], spread: Spread) -> float:
    """Return the standard error of the difference of two means, from the errors that are known; 0 if none is."""
    return math.sqrt(sum(variance for variance, _ in _variances(left, right, spread)))


def _variances(left: Sequence[Score], right: Sequence[Score], spread: Spread) -> list[tuple[float, int]]:
    """Return the known variances of the difference of two means, of seeds and of rows, with degrees of freedom."""
    seeds = [(spread.variance * (1 / len(left) + 1 / len(right)), spread.freedom)] if spread.freedom else []
    rows = _row_variance(left, right)
    return seeds if rows is None else [*seeds, rows]


def _margin(parts: Sequence[tuple[float, int]]) -> float:
    """Return half the confidence interval of a difference, from independent variances with degrees of freedom."""
    from scipy import special

    variance = sum(one for one, _ in parts)
    if not variance:
        return 0.0
    freedom = variance**2 / sum(one**2 / degrees for one, degrees in parts)
    return math.sqrt(variance) * float(special.stdtrit(freedom, (1 + LEVEL) / 2))


def _row_variance(left: Sequence[Score], right: Sequence[Score]) -> tuple[float, int] | None:
    """Return the variance of the difference of two means due to rows, with degrees of freedom; None if unknown."""
    known = [[one.rows for one in side if one.rows is not None] for side in (left, right)]
    if not all(known) or any(not one.fits(side[0]) for side in known for one in side):
        return None
    mine, other = (average(side) for side in known)
    if mine.fits(other):
        return paired_error(mine, other) ** 2, len(mine.values) - 1
    freedom = min(len(mine.values), len(other.values)) - 1
    return mine.error**2 + other.error**2, freedom


def _mean(scores: Sequence[Score]) -> float:
    return statistics.fmean(one.quality for one in scores)


def ties(sizes: Mapping[str, int], scores: Mapping[str, Sequence[Score]]) -> list[tuple[str, str]]:
    """Return neighbours in size whose means over fresh seeds cannot be told apart.

    Args:
        sizes: trainable parameters by trial.
        scores: the trainings on fresh seeds by trial. The variance between seeds is assumed equal for all.
    """
    spread = Spread.of([one.quality for one in found] for found in scores.values())
    ordered = sorted(sizes, key=lambda trial: (sizes[trial], trial))
    return [
        (left, right)
        for left, right in pairwise(ordered)
        if not told_apart(scores.get(left, ()), scores.get(right, ()), spread)
    ]


def contested(sizes: Mapping[str, int], scores: Mapping[str, Sequence[float]], mode: Mode) -> list[tuple[str, str]]:
    """Return the pairs that decide the front of the means and cannot be told apart.

    Each trial is paired with the best trial of at most as many parameters, which it must beat to be on the front. Only
    the error of the seeds counts, since further seeds do not reduce that of the rows.

    Args:
        sizes: trainable parameters by trial.
        scores: qualities on fresh seeds by trial; trials without any are left out.
        mode: direction of the quality.
    """
    spread = Spread.of(scores.values())
    trainings = {trial: [Score(quality) for quality in found] for trial, found in scores.items()}
    sign = 1.0 if mode == "max" else -1.0
    best: str | None = None
    found = []
    means = {trial: sign * statistics.fmean(scores[trial]) for trial in sizes if scores.get(trial)}
    for trial in sorted(means, key=lambda one: (sizes[one], -means[one], one)):
        if best is not None and not told_apart(trainings[best], trainings[trial], spread):
            found.append((best, trial))
        if best is None or means[trial] > means[best]:
            best = trial
    return found


def next_round(
    points: Sequence[Point],
    near: Sequence[Point],
    scores: Mapping[str, Sequence[float]],
    left: int,
    *,
    mode: Mode,
) -> list[str]:
    """Return the trials to train once more now; none when the order is settled.

    First come the points of the front, then the trials near it, then those with a single seed, then both sides of every
    contested pair, those with the fewest seeds first.

    Args:
        points: the points of the front.
        near: trials near it.
        scores: qualities so far by trial; a trial whose trainings all failed has an empty sequence.
        left: the most trials to return.
        mode: direction of the quality.
    """
    first = [one.trial for one in points if one.trial not in scores]
    if first:
        return first[:left]
    fresh = [one.trial for one in near if one.trial not in scores]
    if fresh:
        return fresh[:left]
    single = [one.trial for one in (*points, *near) if len(scores[one.trial]) == 1]
    if single:
        return single[:left]
    sizes = {one.trial: one.parameters for one in (*points, *near) if scores.get(one.trial)}
    unsettled = dict.fromkeys(trial for pair in contested(sizes, scores, mode) for trial in pair)
    return sorted(unsettled, key=lambda trial: (len(scores[trial]), sizes[trial]))[:left]
