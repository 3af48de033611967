"""`python -m tests.bench.search_table`: short real trainings at every rung, the table that `tests.bench.replay` reads.

For every task the published default of each method and random draws from the search's own space, more of them for
the methods that a search tries by default; then a few configurations, from the worst to the best, on two more seeds,
and the task head alone. What was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from spaces.methods.registry import method, methods
from spaces.space.proposal import Proposal, Rejected
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from spaces.spec.budget import resolve_budget
from spaces.spec.sections import BudgetSection
from spaces.trials.records import rung_steps
from tests.bench.replay.table import HEAD, TABLE
from tests.bench.trainings import TASKS, Line, Run, parts, run_of, work, write_data
from tests.spaces.random_suggester import RandomSuggester

RUNS = Path(__file__).with_name("search_runs.jsonl")
"""Every training so far: the table takes an hour or more, and need not be recorded at one go."""

TABLED = ("short-sst2", "short-word-order")
BUDGET = BudgetSection(parameters="0.3%", at_least="0.001%")
OTHERS_DRAWS = 1
"""Random draws of a method that a search does not try by default."""

REPEATED = 6
"""Configurations a task that are trained on every seed."""

FIRST_SEED, MORE_SEEDS = 0, (1, 2)


def space_of(task: str, folder: Path) -> Space:
    """All methods on the task's base."""
    inventory = parts(task, folder).inventory
    budget = resolve_budget(BUDGET, inventory.base_parameters, inventory.head_parameters)
    return Space({name: {} for name in methods()}, inventory, budget, FIRST_SEED)


def drawn(space: Space, draws: int, seed: int) -> Iterator[tuple[Proposal, dict[str, Any]]]:
    """Distinct configurations with the knobs that gave them: the published ones, then random ones of each method."""
    known = set()
    for values in space.published():
        proposal = space.propose(FixedSuggester(values))
        known.add(proposal.signature)
        yield proposal, values
    for position, name in enumerate(space.names):
        alone = Space({name: {}}, space.inventory, space.budget, space.seed)
        generator = np.random.default_rng((seed, position))
        yield from itertools.islice(_accepted(alone, generator, known), draws if method(name).usual else OTHERS_DRAWS)


def _accepted(
    space: Space, generator: np.random.Generator, known: set[str]
) -> Iterator[tuple[Proposal, dict[str, Any]]]:
    for _ in range(1_000):
        draw = RandomSuggester(generator)
        try:
            proposal = space.propose(draw)
        except Rejected:
            continue
        if proposal.signature not in known:
            known.add(proposal.signature)
            yield proposal, draw.used


def repeated(runs: list[Run], lines: dict[Run, Line]) -> list[Run]:
    """Trainings that did not fail, evenly from the worst to the best."""
    ranked = sorted((run for run in runs if not lines[run]["failed"]), key=lambda run: lines[run]["validation"])
    return [ranked[round(place)] for place in np.linspace(0, len(ranked) - 1, REPEATED)]


def again(run: Run, seed: int) -> Run:
    """The same configuration on another seed."""
    settings = run.settings
    assert settings is not None
    return run_of(run.task, run.method, settings, seed, tested=False)


def header(folder: Path) -> dict[str, Any]:
    """What holds for all lines of the table."""
    commit = subprocess.run(("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=True).stdout
    tasks = {}
    for name in TABLED:
        task, space = TASKS[name], space_of(name, folder)
        tasks[name] = {
            "metric": task.metric,
            "steps": rung_steps(task.max_steps, task.rungs),
            "batch": task.batch,
            "validation_rows": len(parts(name, folder).splits.validation),
            "base_parameters": space.inventory.base_parameters,
            "budget": space.budget.parameters,
            "at_least": space.budget.at_least,
        }
    return {
        "commit": commit.strip(),
        **{package: version(package) for package in ("torch", "transformers", "peft")},
        "tasks": tasks,
    }


def write_table(folder: Path, lines: dict[Run, Line], knobs: dict[Run, dict[str, Any]]) -> None:
    """One line a training, in a fixed order."""
    rows = [header(folder)]
    for run, line in sorted(lines.items(), key=lambda item: (item[0].task, item[0].method, item[0].config)):
        if run.task in TABLED:
            row = {"task": run.task, "method": run.method, "config": json.loads(run.config), "seed": run.seed}
            row |= {"parameters": line["trainable_parameters"], "quality": [quality for _, quality in line["rungs"]]}
            row |= {"failed": line["failed"]} if line["failed"] else {}
            rows.append(row | ({"knobs": knobs[run]} if run in knobs else {}))
    TABLE.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument("--runs", type=Path, default=RUNS, help="the trainings so far, to which more are added")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--draws", type=int, default=3, help="random draws of each method that is searched by default")
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    knobs: dict[Run, dict[str, Any]] = {}
    for number, task in enumerate(TABLED):  # every task has draws of its own
        write_data(TASKS[task], given.shared, given.out)
        for proposal, used in drawn(space_of(task, given.out), given.draws, number):
            knobs[run_of(task, proposal.method, proposal.configuration, FIRST_SEED, tested=False)] = used
    # In any order, so that a table cut short is balanced too.
    mixed = random.Random(FIRST_SEED).sample(list(knobs), len(knobs))
    heads = [Run(task, HEAD, "{}", seed, False) for task in TABLED for seed in (FIRST_SEED, *MORE_SEEDS)]
    lines = work([*heads, *mixed], given.out, given.runs, given.processes, "drawn")
    chosen = [run for task in TABLED for run in repeated([run for run in knobs if run.task == task], lines)]
    more = [again(run, seed) for run in chosen for seed in MORE_SEEDS]
    lines = work(more, given.out, given.runs, given.processes, "on more seeds")
    write_table(given.out, lines, knobs)


if __name__ == "__main__":
    main()
