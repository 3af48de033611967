"""What a replayed search came to: its hypervolume step by step, what stopping saved, and what it lost."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spaces.pareto.front import front, hypervolume
from spaces.spec.metrics import METRICS, standard_error
from tests.bench.replay.simulation import SimulatedTrial
from tests.bench.replay.table import TabledTask


class Point(NamedTuple):
    """The front after so many steps: its hypervolume by true qualities, and by those that were measured."""

    steps: float
    true: float
    measured: float


@dataclass(frozen=True)
class Stopping:
    """What a stopper did, against the same configurations trained in full.

    `lost`: points of the full front, as measured, that were stopped, of `points`; `missed`: those of them that no
    finished trial of at most as many parameters comes near, by one standard error; `harm`: true hypervolume less.
    """

    stopped: float
    saved: float
    lost: int
    missed: int
    points: int
    harm: float


def curve(ended: Sequence[SimulatedTrial], task: TabledTask) -> list[Point]:
    """The front of the finished trials whenever one finishes. It is chosen by what was measured, as a search must."""
    points, finished = [], []
    for one in ended:
        if one.result.state == "finished":
            finished.append(one)
            points.append(Point(one.spent, *_volumes(finished, task)))
    return points


def _chosen(trials: Iterable[SimulatedTrial], task: TabledTask) -> list[SimulatedTrial]:
    mode = METRICS[task.metric].mode
    return front(trials, lambda one: one.outcome.qualities[-1], lambda one: one.plan.trainable_parameters, mode)


def _volumes(trials: Iterable[SimulatedTrial], task: TabledTask) -> tuple[float, float]:
    chosen = _chosen(trials, task)
    true = [(one.outcome.truth, one.plan.trainable_parameters) for one in chosen]
    measured = [(one.outcome.qualities[-1], one.plan.trainable_parameters) for one in chosen]
    return _volume(true, task), _volume(measured, task)


def _volume(points: list[tuple[float, int]], task: TabledTask) -> float:
    return hypervolume(
        points,
        at_least=task.budget.at_least,
        budget=task.budget.parameters,
        reference=task.reference,
        perfect=METRICS[task.metric].perfect,
    )


def at(points: Sequence[Point], steps: float) -> float:
    """True hypervolume after so many steps."""
    position = bisect.bisect_right(points, steps, key=lambda point: point.steps)
    return points[position - 1].true if position else 0.0


def steps_to(points: Sequence[Point], volume: float) -> float:
    """Steps until the true hypervolume first reached `volume`; infinite where it never did."""
    return next((point.steps for point in points if point.true >= volume), math.inf)


def stopping(ended: Sequence[SimulatedTrial], task: TabledTask) -> Stopping:
    """Compare a search whose trials were stopped with one that trained the same configurations in full."""
    finished = [one for one in ended if one.result.state == "finished"]
    full = _chosen(ended, task)
    lost = [one for one in full if one.result.state == "stopped"]
    whole = len(ended) * task.steps[-1]
    return Stopping(
        stopped=1 - len(finished) / len(ended),
        saved=1 - sum(one.result.steps for one in ended) / whole,
        lost=len(lost),
        missed=sum(not any(_replaces(other, one, task) for other in finished) for one in lost),
        points=len(full),
        harm=_volumes(ended, task)[0] - _volumes(finished, task)[0],
    )


def _replaces(one: SimulatedTrial, lost: SimulatedTrial, task: TabledTask) -> bool:
    metric, rows = METRICS[task.metric], task.validation_rows
    quality, wanted = one.outcome.qualities[-1], lost.outcome.qualities[-1]
    margin = math.hypot(standard_error(metric, quality, rows), standard_error(metric, wanted, rows))
    near = abs(wanted - quality) <= margin or metric.better(quality, wanted)
    return near and one.plan.trainable_parameters <= lost.plan.trainable_parameters
