"""`python -m tests.bench.learning_rates [METHOD …]`: methods' published settings at learning rates around their priors.

The priors of the demo's methods come from here. On every task: the rate of the series 1, 2, 5, 10 … that is nearest
to the prior and its two neighbours, on one seed; further ones until the best is not at an end; the prior with a slower
head; two more seeds at the best and beside it. What was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method
from tests.bench.trainings import HEAD_RATES, RATED, TASKS, Line, Run, parts, run_of, work, write_data

RECORD = Path(__file__).with_name("learning_rates.jsonl")
DEMO_METHODS = ("lora", "sparta", "surm-circulant", "dst")
SLOW_HEAD, HEAD = HEAD_RATES
SHARE = 0.003
"""Of the base: the size that priors are stated for."""

SERIES = tuple(float(f"{digit}e{exponent}") for exponent in range(-6, 1) for digit in (1, 2, 5))
FIRST_SEED, MORE_SEEDS = 0, (1, 2)


@dataclass(frozen=True)
class Cell:
    """The published default of a method, as large as `SHARE` allows, on a task."""

    task: str
    method: str
    configuration: Configuration

    def at(self, rate: float, seed: int, head: float = HEAD) -> Run:
        """The training at a learning rate."""
        chosen = self.configuration.model_copy(update={"learning_rate": rate})
        return run_of(TASKS[self.task].with_head_at(head).name, self.method, chosen, seed, tested=False)

    def first(self) -> tuple[float, ...]:
        """The rate nearest to the prior, between its neighbours."""
        prior = self.configuration.learning_rate
        return _around(min(SERIES, key=lambda rate: abs(math.log(rate / prior))))

    def best(self, lines: Mapping[Run, Line]) -> float:
        """The rate whose training on the first seed validated best, the lowest of equal ones."""
        return max(self._tried(lines), key=lambda rate: _score(lines[self.at(rate, FIRST_SEED)]))

    def beyond(self, lines: Mapping[Run, Line]) -> float | None:
        """The rate after the best, where that is the lowest or the highest tried."""
        tried, best = self._tried(lines), self.best(lines)
        return next((rate for rate in _around(best) if rate not in tried), None)

    def around_best(self, lines: Mapping[Run, Line]) -> tuple[float, ...]:
        """The best rate between its neighbours."""
        return _around(self.best(lines))

    def scores(self, lines: Mapping[Run, Line]) -> dict[float, list[float]]:
        """Of every rate tried, those of its seeds."""
        runs = {rate: [self.at(rate, seed) for seed in (FIRST_SEED, *MORE_SEEDS)] for rate in self._tried(lines)}
        return {rate: [_score(lines[run]) for run in of if run in lines] for rate, of in runs.items()}

    def _tried(self, lines: Mapping[Run, Line]) -> list[float]:
        return [rate for rate in SERIES if self.at(rate, FIRST_SEED) in lines]


def _around(rate: float) -> tuple[float, ...]:
    place = SERIES.index(rate)
    return SERIES[max(0, place - 1) : place + 2]


def _score(line: Line) -> float:
    """A training that failed comes last."""
    return -1.0 if line["validation"] is None else float(line["validation"])


def published(name: str, task: str, folder: Path) -> Configuration | None:
    """The published default, as large as `SHARE` of the base allows; None where it has no such setting."""
    known, inventory = method(name), parts(TASKS[task].with_head_at(HEAD).name, folder).inventory
    try:
        fitted: Configuration = known.fit(known.configuration(), inventory, int(SHARE * inventory.base_parameters))
    except Unfit:
        return None
    return fitted


def table(of: Iterable[Cell], lines: Mapping[Run, Line]) -> str:
    """Validation score at every rate as mean ± standard deviation over its seeds, and at the prior with a slow head."""
    rows = ["| method (parameters) | task | learning rate: validation score | head at 1e-3 |", "|---|---|---|---|"]
    for cell in of:
        scores = cell.scores(lines)
        best = max(scores, key=lambda rate: statistics.mean(scores[rate]))
        shown = [
            f"{'**' * (rate == best)}{rate:g}: {_shown(found)}{'**' * (rate == best)}" for rate, found in scores.items()
        ]
        slow = [cell.at(rate, FIRST_SEED, SLOW_HEAD) for rate in scores]
        heads = [
            f"{json.loads(run.config)['learning_rate']:g}: {_score(lines[run]):.3f}" for run in slow if run in lines
        ]
        count = lines[cell.at(best, FIRST_SEED)]["trainable_parameters"]
        rows.append(f"| `{cell.method}` ({count:,}) | {cell.task} | {'; '.join(shown)} | {'; '.join(heads)} |")
    return "\n".join(rows)


def _shown(scores: list[float]) -> str:
    mean = f"{statistics.mean(scores):.3f}"
    return f"{mean} ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else mean


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=DEMO_METHODS)
    parser.add_argument("--tasks", nargs="+", choices=RATED, default=RATED)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument("--runs", type=Path, default=RECORD, help="the trainings so far, to which more are added")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    for task in given.tasks:
        write_data(TASKS[task], given.shared, given.out)
    cells = [
        Cell(task, name, found)
        for task in given.tasks
        for name in given.methods
        if (found := published(name, task, given.out)) is not None
    ]

    def trained(runs: Iterable[Run], title: str) -> dict[Run, Line]:
        return work(runs, given.out, given.runs, given.processes, title)

    lines = trained((cell.at(rate, FIRST_SEED) for cell in cells for rate in cell.first()), "around the priors")
    while further := [cell.at(rate, FIRST_SEED) for cell in cells if (rate := cell.beyond(lines)) is not None]:
        lines = trained(further, "beyond the best")
    slow = (cell.at(cell.first()[1], FIRST_SEED, SLOW_HEAD) for cell in cells)
    lines = trained(slow, "slower heads")
    fresh = (cell.at(rate, seed) for seed in MORE_SEEDS for cell in cells for rate in cell.around_best(lines))
    lines = trained(fresh, "more seeds")
    print(table(cells, lines))


if __name__ == "__main__":
    main()
