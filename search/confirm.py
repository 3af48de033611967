"""Confirm: points of the front trained again on fresh seeds; validation chooses, the test split is only reported."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from search.recorder import Ended
from spaces.confirming import Candidate, near_front, next_round
from spaces.ledger import Ledger
from spaces.metrics import standard_error
from spaces.records import TrialPlan
from spaces.spec import SearchSpec


def choose_points(front: Sequence[Ended], top: int) -> list[Ended]:
    """At most `top` points of a front given ascending in size: the best, and others evenly spaced in log parameters."""
    if top <= 0 or not front:
        return []
    best = front[-1]
    others = list(front[:-1])
    chosen = [best]
    lowest, highest = (math.log10(one.plan.trainable_parameters) for one in (front[0], best))
    for position in range(min(top, len(front)) - 1):
        wanted = lowest + (highest - lowest) * position / max(1, min(top, len(front)) - 1)
        nearest = min(others, key=lambda one: abs(math.log10(one.plan.trainable_parameters) - wanted))
        others.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=lambda one: one.plan.trainable_parameters)


def candidates(ended: Iterable[Ended], points: Sequence[Ended]) -> list[Candidate]:
    """Finished trials as candidates."""
    chosen = {one.plan.trial for one in points}
    return [
        Candidate(one.plan.trial, one.plan.trainable_parameters, one.quality, one.plan.trial in chosen)
        for one in ended
        if one.plan.kind == "trial" and one.result.state == "finished"
    ]


def planned_round(
    ended: Mapping[str, Ended], front: Sequence[Ended], ledger: Ledger, spec: SearchSpec, validation_rows: int
) -> list[TrialPlan]:
    """Plans of the next round of confirm; none when the order is settled or `top` times `seeds` trainings are spent.

    Follows from the ledger alone, so that a resume goes on with the same candidates.
    """
    points = choose_points(front, spec.confirm.top)
    scores = scores_by_trial(ledger)
    made = {folder.plan().trial for folder in ledger.trials("confirmation")}
    left = len(points) * spec.confirm.seeds - len(made)
    if left <= 0:
        return []
    metric = spec.metric
    all_of_them = candidates(ended.values(), points)
    on_front = [one for one in all_of_them if one.on_front]
    # As many as leave every candidate a second seed, without which it has no spread.
    affordable = len(points) * spec.confirm.seeds // 2 - len(points)
    near = near_front(
        all_of_them,
        candidates(front, points),
        most=max(0, min(len(points) // 2, affordable)),
        mode=metric.mode,
        noise=lambda quality: math.sqrt(2) * standard_error(metric, quality, validation_rows),
    )
    plans = []
    for trial in next_round(on_front, near, scores, left, mode=metric.mode):
        number = 1 + sum(name.startswith(f"{trial}-confirm-") for name in made)
        plans.append(confirmation_plan(ended[trial].plan, number, spec.search.seed + number))
    return plans


def confirmation_plan(plan: TrialPlan, number: int, seed: int) -> TrialPlan:
    """The `number`-th confirmation of a trial. Everything random follows the fresh seed, a method's own choice too."""
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
    """Qualities on fresh seeds by trial; a trial whose confirmations all failed has none."""
    scores: dict[str, list[float]] = {}
    for folder in ledger.trials("confirmation"):
        plan, result = folder.plan(), folder.result()
        if plan.confirms is not None and result is not None:
            found = scores.setdefault(plan.confirms, [])
            found += [] if result.quality is None else [result.quality]
    return scores


@dataclass(frozen=True)
class Confirmed:
    """A confirmed point: mean and standard deviation on validation, and the mean score on the test split.

    A single confirmation has no deviation.
    """

    trial: str
    mean: float
    deviation: float | None
    test: float | None


def summarise(ledger: Ledger) -> list[Confirmed]:
    """Every point with at least one finished confirmation."""
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
        )
        for trial, values in scores_by_trial(ledger).items()
        if values
    ]
