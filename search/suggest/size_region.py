"""An Optuna study of trials of about one size, by quality alone: knobs of a trial of that size are drawn from it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from spaces.pareto.point import SIZE_REGION
from spaces.spec.metrics import Mode
from spaces.trials.records import Rung, State

FEWEST, MOST = 20, 100
"""Trials that a region holds at least, were they farther away, and at most: what asking costs stays constant."""


@dataclass
class Tried:
    """A planned trial as Optuna's samplers see it."""

    knobs: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    parameters: int
    state: State = "running"
    quality: float | None = None
    rungs: tuple[Rung, ...] = field(default=())


def nearest(sizes: Sequence[float], size: float) -> range:
    """Return the positions of the sizes around one, each at most the width of a region away.

    Args:
        sizes: Decimal logarithms of trainable parameters, ascending.
        size: The decimal logarithm in their middle.
    """
    within = bisect_right(sizes, size + SIZE_REGION) - bisect_left(sizes, size - SIZE_REGION)
    held = min(len(sizes), MOST, max(FEWEST, within))
    # The first of `held` neighbours that lie nearest: farther to the right the last one is the farther one.
    first = bisect_left(range(len(sizes) - held), True, key=lambda at: size - sizes[at] <= sizes[at + held] - size)
    return range(first, first + held)


def regional_study(tried: Iterable[Tried], mode: Mode, sampler: BaseSampler) -> optuna.Study:
    """A study in memory of one objective, quality at the last step.

    A stopped trial is PRUNED with its qualities at the rungs, which samplers compare at equal steps; one that failed,
    for example because its loss became NaN, is PRUNED without any, the worst that there is.
    """
    study = optuna.create_study(direction="maximize" if mode == "max" else "minimize", sampler=sampler)
    for one in tried:
        study.add_trial(
            optuna.trial.create_trial(
                state=_STATES[one.state],
                params=dict(one.knobs),
                distributions=dict(one.distributions),
                value=one.quality,
                intermediate_values={rung.step: rung.quality for rung in one.rungs},
            )
        )
    return study


_STATES: dict[State, TrialState] = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.PRUNED,
    "running": TrialState.RUNNING,
}
