"""Every policy in every world, several processes side by side."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from spaces.model.inventory import Inventory
from spaces.space.search_space import Space
from tests.bench.replay.policies import POLICIES
from tests.bench.replay.scores import Point, Stopping, curve, stopping
from tests.bench.replay.settings import Setting, spec_of
from tests.bench.replay.simulation import SimulatedTrial, simulate
from tests.bench.replay.surrogate import Surrogate
from tests.bench.replay.world import World, noise_of

FULL_TRIALS = 60
"""Full trials whose steps every policy may spend."""

STOPPED_TRIALS = 40
"""Trials of the searches that show what a stopper does."""

# Records of trials are written through to the disk; these ones nobody needs after a crash.
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Job:
    """One policy in one world; the seed is the world's and the search's. `everything`: over all tabled methods."""

    surrogate: Surrogate
    inventory: Inventory
    everything: bool
    policy: str
    slots: int
    seed: int


@dataclass(frozen=True)
class Played:
    """What a policy came to with equal steps for all, and where it stops trials, with equal trials."""

    points: list[Point]
    stopping: Stopping | None


def play(job: Job) -> Played:
    """Replay one policy in one world."""
    task = job.surrogate.task
    ended = _search(job, FULL_TRIALS, None, FULL_TRIALS * task.steps[-1])
    points = curve(ended, task)
    if all(one.result.state == "finished" for one in ended):
        return Played(points, None)
    return Played(points, stopping(_search(job, STOPPED_TRIALS, STOPPED_TRIALS, None), task))


def _search(job: Job, planned: int, trials: int | None, steps: int | None) -> list[SimulatedTrial]:
    task = job.surrogate.task
    spec = spec_of(task, {"trials": planned, "seed": job.seed}, everything=job.everything)
    space = Space(spec.methods, job.inventory, task.budget, job.seed)
    world = World(job.surrogate, noise_of(job.surrogate), job.seed)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        agent = POLICIES[job.policy](Setting(spec, space, task.validation_rows, Path(folder)))
        return simulate(agent, world, task.steps, slots=job.slots, trials=trials, total_steps=steps)


def play_all(jobs: Sequence[Job], processes: int) -> list[Played]:
    """Replay all, in the order of the jobs."""
    os.environ["OMP_NUM_THREADS"] = "1"  # the matrices are small
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = pool.imap(play, jobs)
        return list(track(found, "replaying", total=len(jobs), console=Console(stderr=True)))
