"""How many fresh seeds it takes to order points near the front, and which of them stay apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from spaces.metrics import Mode

LEVEL = 0.95
"""Probability with which two points that are said to be apart are."""


@dataclass(frozen=True)
class Candidate:
    """A trial that is trained again.

    `quality`: what it came to in the search, on the seed by which it was found. `on_front`: it is there for its place
    on the front, not for being near it.
    """

    trial: str
    parameters: int
    quality: float
    on_front: bool


def near_front(
    trials: Sequence[Candidate],
    points: Sequence[Candidate],
    most: int,
    *,
    mode: Mode,
    noise: Callable[[float], float],
) -> list[Candidate]:
    """At most `most` of the `trials` that are no points but may be as good as one: the lucky are not always the best.

    `points`: the whole front. A trial is near when its quality is behind that of the best point of at most as many
    parameters by no more than `noise`, the standard error of a difference of two scores at that quality. The nearest
    come first.
    """
    sign = 1.0 if mode == "max" else -1.0
    taken = {point.trial for point in points}
    behind: list[tuple[float, Candidate]] = []
    for one in trials:
        rivals = [sign * point.quality for point in points if point.parameters <= one.parameters]
        if one.trial in taken or not rivals:
            continue
        gap = max(rivals) - sign * one.quality
        if gap <= noise(one.quality):
            behind.append((gap, one))
    return [one for _, one in sorted(behind, key=lambda found: (found[0], found[1].trial))[:most]]


def told_apart(left: Sequence[float], right: Sequence[float], variance: float, freedom: int) -> bool:
    """Whether two means differ, by Student's test with a variance pooled over `freedom` degrees of freedom."""
    from scipy import stats

    if not left or not right or freedom < 1:
        return False
    error = math.sqrt(variance * (1 / len(left) + 1 / len(right)))
    distance = abs(statistics.fmean(left) - statistics.fmean(right))
    return distance > error * float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def ties(sizes: Mapping[str, int], scores: Mapping[str, Sequence[float]]) -> list[tuple[str, str]]:
    """Neighbours in size whose means over fresh seeds cannot be told apart.

    Args:
        sizes: trainable parameters by trial.
        scores: of each trial the qualities on its fresh seeds. Their spread is taken to be the same for all.
    """
    variance, freedom = _pooled(scores)
    ordered = sorted(sizes, key=lambda trial: (sizes[trial], trial))
    return [
        (left, right)
        for left, right in pairwise(ordered)
        if not told_apart(scores.get(left, ()), scores.get(right, ()), variance, freedom)
    ]


def contested(sizes: Mapping[str, int], scores: Mapping[str, Sequence[float]], mode: Mode) -> list[tuple[str, str]]:
    """Pairs that decide the front of the means and cannot be told apart.

    Each trial is paired with the best of those that have at most as many parameters: it is on the front when it beats
    that one. Arguments as for `ties`; trials without scores take no part.
    """
    variance, freedom = _pooled(scores)
    sign = 1.0 if mode == "max" else -1.0
    best: str | None = None
    found = []
    means = {trial: sign * statistics.fmean(scores[trial]) for trial in sizes if scores.get(trial)}
    for trial in sorted(means, key=lambda one: (sizes[one], -means[one], one)):
        if best is not None and not told_apart(scores[best], scores[trial], variance, freedom):
            found.append((best, trial))
        if best is None or means[trial] > means[best]:
            best = trial
    return found


def _pooled(scores: Mapping[str, Sequence[float]]) -> tuple[float, int]:
    """The variance that all trials are taken to share, and its degrees of freedom."""
    spread = [one for one in scores.values() if len(one) > 1]
    freedom = sum(len(one) - 1 for one in spread)
    return sum(statistics.variance(one) * (len(one) - 1) for one in spread) / freedom if freedom else 0.0, freedom


def next_round(
    points: Sequence[Candidate],
    near: Sequence[Candidate],
    scores: Mapping[str, Sequence[float]],
    left: int,
    *,
    mode: Mode,
) -> list[str]:
    """The trials to train once more now, at most `left` of them; none when the order is settled.

    First every point of the front, then those near it, then those that have no spread yet, then both sides of
    every contested place, those with the fewest seeds first. `scores`: qualities so far by trial, with a trial that
    failed counted by its key alone.
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
