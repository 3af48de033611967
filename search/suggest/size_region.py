"""The Optuna study of a size region: trials of about one size, compared by quality alone."""

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
from spaces.trials.records import State

FEWEST, MOST = 20, 100
"""Trials in a region: at least `FEWEST`, if need be from farther away; at most `MOST`, so that asking stays cheap."""


@dataclass
class RegionTrial:
    """A planned trial as Optuna's samplers see it; `rungs` has a number by step, in the direction of the quality."""

    knobs: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    parameters: int
    state: State = "running"
    quality: float | None = None
    rungs: Mapping[int, float] = field(default_factory=dict)


def nearest(sizes: Sequence[float], size: float) -> range:
    """Return the positions of the sizes in the region around `size`, one `SIZE_REGION` to either side.

    Args:
        sizes: Decimal logarithms of trainable parameters, ascending.
        size: The decimal logarithm of the size in the middle.
    """
    within = bisect_right(sizes, size + SIZE_REGION) - bisect_left(sizes, size - SIZE_REGION)
    held = min(len(sizes), MOST, max(FEWEST, within))
    # Shift the window of `held` neighbours to the right until its first is no farther away than the one after its last.
    first = bisect_left(range(len(sizes) - held), True, key=lambda at: size - sizes[at] <= sizes[at + held] - size)
    return range(first, first + held)


def regional_study(tried: Iterable[RegionTrial], mode: Mode, sampler: BaseSampler) -> optuna.Study:
    """Return a study in memory with one objective, the quality at the last step.

    A stopped trial is PRUNED with its numbers at the rungs, which samplers compare at equal steps. A failed trial,
    for example one whose loss became NaN, is PRUNED without any, which samplers take for the worst.
    """
    study = optuna.create_study(direction="maximize" if mode == "max" else "minimize", sampler=sampler)
    for one in tried:
        study.add_trial(
            optuna.trial.create_trial(
                state=_STATES[one.state],
                params=dict(one.knobs),
                distributions=dict(one.distributions),
                value=one.quality,
                intermediate_values=dict(one.rungs),
            )
        )
    return study


_STATES: dict[State, TrialState] = {
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.PRUNED,
    "running": TrialState.RUNNING,
}
