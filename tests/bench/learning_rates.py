"""`python -m tests.bench.learning_rates [METHOD …]`: each method's published setting at several learning rates.

The priors in `spaces/methods` come from here: the word-order task, one seed, a short training. A search multiplies
them by an eighth to eight.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spaces.methods.base import Configuration, Unfit
from spaces.registry import method, methods
from tests.bench.trainings import TASKS, parts, run_of, work, write_data

TASK, BUDGET = "word-order", 68_139
MULTIPLIERS = (1 / 4, 1.0, 4.0)


def published(name: str, folder: Path) -> Configuration | None:
    """The published default, as large as 0.3 % of MiniLM allows; None where it has no such setting."""
    known = method(name)
    try:
        fitted: Configuration = known.fit(known.configuration(), parts(TASK, folder).inventory, BUDGET)
    except Unfit:
        return None
    return fitted


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=list(methods()))
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    write_data(TASKS[TASK], Path(), given.out)
    chosen = {name: found for name in given.methods if (found := published(name, given.out)) is not None}
    runs = {
        (name, one): run_of(
            TASK, name, found.model_copy(update={"learning_rate": found.learning_rate * one}), 0, tested=False
        )
        for name, found in chosen.items()
        for one in MULTIPLIERS
    }
    lines = work(runs.values(), given.out, given.out / "runs.jsonl", given.processes, "learning rates")
    table = Table(title=f"{TASK}: validation {TASKS[TASK].metric} at multiples of the prior")
    for column in ("method", "parameters", "prior", *(f"×{one:g}" for one in MULTIPLIERS)):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, found in chosen.items():
        of = [lines[runs[name, one]] for one in MULTIPLIERS]
        scores = ["failed" if line["failed"] else f"{line['validation']:.3f}" for line in of]
        table.add_row(name, f"{of[0]['trainable_parameters']:,}", f"{found.learning_rate:g}", *scores)
    Console().print(table)


if __name__ == "__main__":
    main()
