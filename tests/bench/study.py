"""`python -m tests.bench.study [METHOD …]`: methods at equal trainable parameters, each tuned with the same effort.

For every task, method and budget: the widest placement whose largest setting spends 90 to 100 % of the budget; the
learning rate that validates best among three, the method's prior, three times as much, and a step on from the better
of the two (a third of the prior, or nine times it); three fresh seeds at that rate, scored on rows that chose nothing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from spaces.inventory import Inventory, Targets
from spaces.methods.base import Configuration, Unfit
from spaces.registry import method
from tests.bench.trainings import TASKS, Line, Run, parts, run_of, work, write_data

STUDIED = ("sst2", "cola")
METHODS = ("lora", "shira", "sparta", "dst", "surm-circulant", "surm-toeplitz", "surm-kronecker", "surm-ldr")
BUDGETS = (768, 4_608, 50_000)
SPENT = 0.9
PRIOR, NEXT = 1.0, 3.0
TUNING_SEED, FRESH_SEEDS = 0, (1, 2, 3)


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


def table(task: str, of: list[Cell], lines: dict[Run, Line]) -> Table:
    """Test score, mean ± standard deviation over the fresh seeds, with the count and the tuned multiplier."""
    found = {(cell.method, cell.budget): cell for cell in of if cell.task == task}
    shown = Table(title=f"{task}: test {TASKS[task].metric}")
    for column in ("method", *(f"{budget:,}" for budget in BUDGETS)):
        shown.add_column(column, justify="left" if column == "method" else "right")
    for name in dict.fromkeys(cell.method for cell in of):
        texts = []
        for budget in BUDGETS:
            cell = found.get((name, budget))
            if cell is None:
                texts.append("no setting")
                continue
            rate, scores = cell.tuned(lines), scores_of(cell, lines)
            size = lines[cell.at(rate, TUNING_SEED)]["trainable_parameters"]
            texts.append(f"{shown_scores(scores)} ({size:,}; ×{rate:.2g})")
        shown.add_row(name, *texts)
    return shown


def scores_of(cell: Cell, lines: dict[Run, Line]) -> list[float]:
    """Test scores on the fresh seeds, at the tuned learning rate."""
    found = (lines[cell.at(cell.tuned(lines), seed)]["test"] for seed in FRESH_SEEDS)
    return [score for score in found if score is not None]


def shown_scores(scores: list[float]) -> str:
    """Mean and spread; how many there are where a training failed."""
    if len(scores) < 2:
        return f"{len(scores)} of {len(FRESH_SEEDS)} trainings" + "".join(f": {one:.3f}" for one in scores)
    failed = "" if len(scores) == len(FRESH_SEEDS) else f", {len(scores)} of {len(FRESH_SEEDS)}"
    return f"{statistics.mean(scores):.3f} ± {statistics.stdev(scores):.3f}{failed}"


def picture(of: list[Cell], lines: dict[Run, Line], path: Path) -> None:
    """Mean test score over trainable parameters, one panel a task, bars of one standard deviation."""
    figure = Figure(figsize=(12, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(STUDIED))
    for axes, task in zip(panels, STUDIED, strict=True):
        for number, name in enumerate(dict.fromkeys(cell.method for cell in of)):
            mine = [cell for cell in of if (cell.task, cell.method) == (task, name) and len(scores_of(cell, lines)) > 1]
            # Side by side around each budget, so that the bars do not hide each other.
            across = [cell.budget * 1.06 ** (number - len(METHODS) / 2) for cell in mine]
            scores = [scores_of(cell, lines) for cell in mine]
            means, spreads = [statistics.mean(one) for one in scores], [statistics.stdev(one) for one in scores]
            axes.errorbar(across, means, yerr=spreads, marker="osD^v<>P"[number % 8], capsize=2, label=name, lw=1)
        axes.set(xscale="log", title=task, xlabel="trainable parameters", ylabel=f"test {TASKS[task].metric}")
        axes.grid(color="#EAEAEA")
    panels[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path)


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
    lines = work(fresh, given.out, file, given.processes, "fresh seeds")
    for task in STUDIED:
        Console().print(table(task, of, lines))
    picture(of, lines, given.out / "study.png")


if __name__ == "__main__":
    main()
