"""A search on a virtual clock: trials side by side report at their rungs, and nothing is trained."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spaces.trials.records import Rung, State, TrialPlan, TrialResult


@dataclass(frozen=True)
class Outcome:
    """What a trial would come to if nobody stopped it.

    `qualities`: as measured at each rung; `truth`: the last one without noise; `pace`: time that a step takes.
    """

    qualities: tuple[float, ...]
    truth: float
    pace: float = 1.0


class Agent(Protocol):
    """A searcher and a stopper, as a search drives them."""

    def suggest(self) -> TrialPlan | None:
        """The next trial; None when there will be none."""

    def goes_on(self, plan: TrialPlan, rung: Rung) -> bool:
        """Judge a trial at a rung before its last."""

    def ended(self, plan: TrialPlan, result: TrialResult) -> None:
        """A trial finished or was stopped."""


@dataclass(frozen=True)
class SimulatedTrial:
    """A trial that ended, and how many steps all trials, running ones too, had made by then."""

    plan: TrialPlan
    outcome: Outcome
    result: TrialResult
    spent: float


@dataclass
class _Running:
    plan: TrialPlan
    outcome: Outcome
    started: float
    rungs: tuple[Rung, ...] = ()

    def steps(self, now: float) -> float:
        return (now - self.started) / self.outcome.pace


def simulate(
    agent: Agent,
    world: Callable[[TrialPlan], Outcome],
    steps: Sequence[int],
    *,
    slots: int,
    trials: int | None = None,
    total_steps: int | None = None,
) -> list[SimulatedTrial]:
    """Run trials of rungs at `steps`, `slots` at a time, and give them in the order in which they ended.

    There are `trials` of them, or as many as `total_steps` allow: one that might exceed these is not begun, so every
    policy ends with the same steps at most. Of events at the same time that of the trial which began first comes first.
    """
    running: dict[int, _Running] = {}
    waiting: list[tuple[float, int]] = []
    ended: list[SimulatedTrial] = []
    numbers = itertools.count()
    now, done = 0.0, 0

    def room() -> bool:
        fits = total_steps is None or done + (len(running) + 1) * steps[-1] <= total_steps
        return fits and len(running) < slots and (trials is None or len(ended) + len(running) < trials)

    while True:
        while room() and (plan := agent.suggest()) is not None:
            number = next(numbers)
            running[number] = _Running(plan, world(plan), now)
            heapq.heappush(waiting, (now + steps[0] * running[number].outcome.pace, number))
        if not waiting:
            return ended
        now, number = heapq.heappop(waiting)
        trial = running[number]
        reached = len(trial.rungs)
        rung = Rung(step=steps[reached], quality=trial.outcome.qualities[reached])
        trial.rungs += (rung,)
        last = rung.step == steps[-1]
        if not last and agent.goes_on(trial.plan, rung):
            heapq.heappush(waiting, (trial.started + steps[reached + 1] * trial.outcome.pace, number))
            continue
        del running[number]
        done += rung.step
        state: State = "finished" if last else "stopped"
        quality = rung.quality if last else None
        result = TrialResult(state=state, quality=quality, steps=rung.step, rungs=trial.rungs)
        spent = done + sum(other.steps(now) for other in running.values())
        ended.append(SimulatedTrial(trial.plan, trial.outcome, result, spent))
        agent.ended(trial.plan, result)
