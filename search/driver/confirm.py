"""Confirmation: points of the front, trained again on fresh seeds; the test split is reported and chooses nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from search.driver.recorder import CompletedTrial
from spaces.pareto.answers import above
from spaces.pareto.front import knee
from spaces.pareto.point import Point
from spaces.pareto.significance import near_front, next_round
from spaces.spec.metrics import Metric, Mode, standard_error
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan
from spaces.trials.row_values import paired_error, unpack


def choose_points(
    front: Sequence[CompletedTrial], top: int, *, reference: float | None, mode: Mode
) -> list[CompletedTrial]:
    """Choose at most `top` points of a front for confirmation.

    They beat the head alone: the best, the knee, and others evenly spaced in log parameters.

    Args:
        front: Ascending in size.
        top: The number of points.
        reference: The quality of the head alone, None while unknown.
        mode: Of the metric.

    Returns:
        The points, ascending in size.
    """
    able = above(front, lambda one: one.quality, reference, mode)
    if top <= 0 or not able:
        return []
    best, bend = able[-1], knee(able, lambda one: one.quality, _parameters, mode)
    chosen = [best] if bend is best or top == 1 else [best, bend]
    wanted = _evenly(able[0], best, min(top, len(able)))
    for one in chosen:
        wanted.remove(min(wanted, key=partial(_distance, one)))
    others = [one for one in able if one not in chosen]
    for place in wanted:
        nearest = min(others, key=partial(_distance, place=place))
        others.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=_parameters)


def _evenly(first: CompletedTrial, last: CompletedTrial, count: int) -> list[float]:
    """Return `count` decimal logarithms of sizes, evenly spaced from the first point's to the last one's."""
    low, high = (math.log10(max(1, _parameters(one))) for one in (first, last))
    return [low + (high - low) * position / max(1, count - 1) for position in range(count)]


def _distance(one: CompletedTrial, place: float) -> float:
    return abs(math.log10(max(1, _parameters(one))) - place)


def _parameters(one: CompletedTrial) -> int:
    return one.plan.trainable_parameters


def _points(ended: Iterable[CompletedTrial]) -> list[Point]:
    """Return the finished trials as points."""
    return [
        Point(one.plan.trial, one.plan.trainable_parameters, one.quality)
        for one in ended
        if one.plan.kind == "trial" and one.result.state == "finished"
    ]


def planned_round(
    ended: Mapping[str, CompletedTrial],
    front: Sequence[CompletedTrial],
    ledger: Ledger,
    spec: SearchSpec,
    validation_rows: int,
    *,
    reference: float | None,
) -> list[TrialPlan]:
    """Return the plans of the next round; none when the order is settled or `top` times `seeds` trainings are spent.

    There is none either where no point of the front beats the head alone. All this follows from the ledger, so a
    resume goes on with the same candidates.

    Args:
        ended: All trials with their ends, by name.
        front: Ascending in size.
        ledger: Holds the confirmations so far.
        spec: Gives `confirm`, metric and seed.
        validation_rows: For the standard error of a quality.
        reference: The quality of the head alone, None while unknown.
    """
    metric = spec.metric
    points = choose_points(front, spec.confirm.top, reference=reference, mode=metric.mode)
    scores = scores_by_trial(ledger)
    made = {folder.plan().trial for folder in ledger.trials("confirmation")}
    left = len(points) * spec.confirm.seeds - len(made)
    if left <= 0:
        return []
    able = _points(above(ended.values(), lambda one: one.quality, reference, metric.mode))
    chosen = {one.plan.trial for one in points}
    on_front = [one for one in able if one.trial in chosen]
    # So few that every candidate still gets a second seed, without which it has no standard deviation.
    affordable = len(points) * spec.confirm.seeds // 2 - len(points)
    near = near_front(
        able,
        _points(front),
        most=max(0, min(len(points) // 2, affordable)),
        mode=metric.mode,
        noise=lambda best, one: _noise(ended[best.trial], ended[one.trial], metric, validation_rows),
    )
    plans = []
    for trial in next_round(on_front, near, scores, left, mode=metric.mode):
        number = 1 + sum(name.startswith(f"{trial}-confirm-") for name in made)
        plans.append(confirmation_plan(ended[trial].plan, number, spec.search.seed + number))
    return plans


def _noise(best: CompletedTrial, one: CompletedTrial, metric: Metric, validation_rows: int) -> float:
    """Return the standard error of the difference of two trials, paired by validation row where those are known."""
    left, right = (unpack(trial.result.row_values) for trial in (best, one))
    if left is not None and right is not None and left.fits(right):
        return paired_error(left, right)
    return math.sqrt(2) * standard_error(metric, one.quality, validation_rows)


def confirmation_plan(plan: TrialPlan, number: int, seed: int) -> TrialPlan:
    """Return the plan of a trial's `number`-th confirmation, with a fresh seed for the method's own draws too."""
    return plan.model_copy(
        update={
            "trial": f"{plan.trial}-confirm-{number}",
            "kind": "confirmation",
            "confirms": plan.trial,
            "config": {**plan.config, **({"seed": seed} if "seed" in plan.config else {})},
            "seed": seed,
        }
    )


def scores_by_trial(ledger: Ledger) -> dict[str, list[float]]:
    """Return the qualities on fresh seeds, by trial; an empty list where all confirmations failed."""
    scores: dict[str, list[float]] = {}
    for folder in ledger.trials("confirmation"):
        plan, result = folder.plan(), folder.result()
        if plan.confirms is not None and result is not None:
            found = scores.setdefault(plan.confirms, [])
            found += [] if result.quality is None else [result.quality]
    return scores


@dataclass(frozen=True)
class Confirmed:
    """A confirmed point: mean and standard deviation of `seeds` trainings on validation, and their mean on test.

    A single confirmation has no standard deviation.
    """

    trial: str
    mean: float
    deviation: float | None
    test: float | None
    seeds: int


def summarise(ledger: Ledger) -> list[Confirmed]:
    """Return every point with at least one finished confirmation."""
    tests: dict[str, list[float]] = {}
    for folder in ledger.trials("confirmation"):
        plan, result = folder.plan(), folder.result()
        if plan.confirms is not None and result is not None and result.test_quality is not None:
            tests.setdefault(plan.confirms, []).append(result.test_quality)
    return [
        Confirmed(
            trial,
            statistics.fmean(values),
            statistics.stdev(values) if len(values) > 1 else None,
            statistics.fmean(tests[trial]) if trial in tests else None,
            len(values),
        )
        for trial, values in scores_by_trial(ledger).items()
        if values
    ]
