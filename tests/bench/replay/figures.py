"""The figures of a replay: medians and means over its worlds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.replay.jobs import Played
from tests.bench.replay.scores import steps_to

BASELINE = "random"

Case = tuple[str, int, str]
"""Task, concurrent trials, policy."""


@dataclass(frozen=True)
class Volumes:
    """What equal steps give: medians over the worlds.

    `steps_ratio`: steps until the hypervolume of the baseline's full trials in the same world, over their steps;
    None where most worlds did not reach it. `hypervolume` by true qualities, `measured` by those of the search.
    """

    steps_ratio: float | None
    reached: float
    hypervolume: float
    measured: float


@dataclass(frozen=True)
class Stops:
    """What a stopper did: means over the worlds. `kept`: share of the searches that lost no point of the front."""

    stopped: float
    saved: float
    lost: float
    missed: float
    points: float
    kept: float
    harm: float


def volumes(results: Mapping[Case, Sequence[Played]], steps: int) -> dict[Case, Volumes]:
    """Of every case; `steps`: those of the baseline's full trials."""
    found = {}
    for (task, slots, policy), played in results.items():
        targets = [one.points[-1].true for one in results[task, slots, BASELINE]]
        ratios = [steps_to(one.points, target) / steps for one, target in zip(played, targets, strict=True)]
        ratio = statistics.median(ratios)
        found[task, slots, policy] = Volumes(
            steps_ratio=ratio if math.isfinite(ratio) else None,
            reached=statistics.mean(map(math.isfinite, ratios)),
            hypervolume=statistics.median(one.points[-1].true for one in played),
            measured=statistics.median(one.points[-1].measured for one in played),
        )
    return found


def stops(results: Mapping[Case, Sequence[Played]]) -> dict[Case, Stops]:
    """Of every case in which trials were stopped."""
    found = {}
    for case, played in results.items():
        of = [one.stopping for one in played if one.stopping is not None]
        if of:
            found[case] = Stops(
                stopped=statistics.mean(one.stopped for one in of),
                saved=statistics.mean(one.saved for one in of),
                lost=statistics.mean(one.lost for one in of),
                missed=statistics.mean(one.missed for one in of),
                points=statistics.mean(one.points for one in of),
                kept=statistics.mean(one.lost == 0 for one in of),
                harm=statistics.mean(one.harm for one in of),
            )
    return found
