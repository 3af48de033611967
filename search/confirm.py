"""Confirm: points of the front trained again on fresh seeds; validation chooses, the test split is only reported."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from search.recorder import Ended
from spaces.ledger import Ledger
from spaces.records import TrialPlan


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


def confirmation_plans(points: Sequence[Ended], seeds: int, search_seed: int) -> list[TrialPlan]:
    """One plan for each point and fresh seed. Everything random follows the new seed, a method's own choice too."""
    plans = []
    for point in points:
        for number in range(1, seeds + 1):
            seed = search_seed + number
            config = {**point.plan.config, **({"seed": seed} if "seed" in point.plan.config else {})}
            plans.append(
                point.plan.model_copy(
                    update={
                        "trial": f"{point.plan.trial}-confirm-{number}",
                        "kind": "confirmation",
                        "confirms": point.plan.trial,
                        "config": config,
                        "seed": seed,
                    }
                )
            )
    return plans


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
    qualities: dict[str, list[float]] = {}
    tests: dict[str, list[float]] = {}
    for folder in ledger.trials("confirmation"):
        plan, result = folder.plan(), folder.result()
        if plan.confirms is None or result is None or result.quality is None:
            continue
        qualities.setdefault(plan.confirms, []).append(result.quality)
        if result.test_quality is not None:
            tests.setdefault(plan.confirms, []).append(result.test_quality)
    return [
        Confirmed(
            trial,
            statistics.fmean(values),
            statistics.stdev(values) if len(values) > 1 else None,
            statistics.fmean(tests[trial]) if trial in tests else None,
        )
        for trial, values in qualities.items()
    ]
