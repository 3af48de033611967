"""`python -m tests.bench.study [METHOD …]`: methods at equal trainable parameters, each tuned with the same effort.

For every task, method and budget: the widest placement whose largest setting spends 90 to 100 % of the budget; the
learning rate that validates best among three, the method's prior, three times as much, and a step on from the better
of the two (a third of the prior, or nine times it); three fresh seeds at that rate, scored on rows that chose nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method
from spaces.model.inventory import Inventory, Targets
from tests.bench.study_report import BUDGETS, FRESH_SEEDS, METHODS, picture, results, table
from tests.bench.trainings import TASKS, Line, Run, parts, run_of, work, write_data

STUDIED = ("sst2", "cola")
SPENT = 0.9
PRIOR, NEXT = 1.0, 3.0
TUNING_SEED = 0


@dataclass(frozen=True)
class Cell:
    """One method on one task under one budget, and its setting there."""

    task: str
    method: str
    budget: int
    configuration: Configuration

    def at(self, multiplier: float, seed: int) -> Run:
        """The training at a multiple of the method's learning-rate prior."""
        rate = self.configuration.learning_rate * multiplier
        chosen = self.configuration.model_copy(update={"learning_rate": rate})
        return run_of(self.task, self.method, chosen, seed, tested=seed != TUNING_SEED)

    def step_on(self, lines: dict[Run, Line]) -> float:
        """The third multiplier to try: beyond the better one of the first two."""
        return NEXT**2 if self._best((PRIOR, NEXT), lines) == NEXT else 1 / NEXT

    def tuned(self, lines: dict[Run, Line]) -> float:
        """The multiplier that validated best."""
        return self._best((PRIOR, NEXT, self.step_on(lines)), lines)

    def _best(self, multipliers: Sequence[float], lines: dict[Run, Line]) -> float:
        scores = {one: lines[self.at(one, TUNING_SEED)]["validation"] for one in multipliers}
        return max(scores, key=lambda one: -1.0 if scores[one] is None else scores[one])


def setting(name: str, budget: int, inventory: Inventory) -> Configuration | None:
    """The largest setting that spends at least 90 % of the budget; the method's own targets and more blocks first."""
    known = method(name)
    own = known.configuration().targets
    for targets in (own, *(other for other in get_args(Targets) if other != own)):
        for layers in (*range(inventory.blocks, 0, -1), "one"):
            try:
                fitted: Configuration = known.fit(
                    known.configuration(targets=targets, layers=layers), inventory, budget
                )
                found = known.count(fitted, inventory).trainable_parameters
            except Unfit:
                continue
            if SPENT * budget <= found <= budget:
                return fitted
    return None


def cells(folder: Path, methods: Sequence[str]) -> Iterator[Cell]:
    """Every one of `methods` on every task under every budget where it has a setting."""
    for task in STUDIED:
        for budget in BUDGETS:
            for name in methods:
                found = setting(name, budget, parts(task, folder).inventory)
                if found is not None:
                    yield Cell(task, name, budget, found)


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument("--runs", type=Path, help="the trainings so far, to which more are added; in --out otherwise")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    for task in STUDIED:
        write_data(TASKS[task], given.shared, given.out)
    file, of = given.runs or given.out / "runs.jsonl", list(cells(given.out, given.methods))
    tuning = [cell.at(one, TUNING_SEED) for cell in of for one in (PRIOR, NEXT)]
    lines = work(tuning, given.out, file, given.processes, "tuning")
    further = [cell.at(cell.step_on(lines), TUNING_SEED) for cell in of]
    lines = work(further, given.out, file, given.processes, "tuning, a step on")
    fresh = [cell.at(cell.tuned(lines), seed) for cell in of for seed in FRESH_SEEDS]
    work(fresh, given.out, file, given.processes, "fresh seeds")
    found = results(file)
    for task in STUDIED:
        print(table(found, task))
    picture(found, given.out / "study.png")


if __name__ == "__main__":
    main()
