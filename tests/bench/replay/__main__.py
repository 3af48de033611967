"""`python -m tests.bench.replay`: ways to search, replayed on a table of real trainings (`make bench-search`).

A surrogate of the table gives what any configuration comes to; a seed draws what the surrogate does not know, the
noise of a training, and the search. Hypervolumes are those of the true qualities of the front that a search chose by
the measured ones. Syne Tune takes part where it is installed: `pip install syne-tune`, nothing else needs it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from search.driver.preflight import inspect
from tests.bench.replay.figures import BASELINE, stops, volumes
from tests.bench.replay.jobs import FULL_TRIALS, Job, play_all
from tests.bench.replay.picture import draw
from tests.bench.replay.policies import COMPARED, POLICIES
from tests.bench.replay.settings import spec_of
from tests.bench.replay.surrogate import fit_surrogate
from tests.bench.replay.table import TABLE, read_table
from tests.bench.replay.tables import surrogates_table, task_tables


def main() -> None:
    """Replay, print the tables, and write figures and picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--policies", nargs="+", default=COMPARED, choices=tuple({**POLICIES, **dict.fromkeys(COMPARED)})
    )
    parser.add_argument("--concurrent", nargs="+", type=int, default=(1, 4, 16))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rungs", type=int, default=3)
    parser.add_argument("--all-methods", action="store_true", help="not those alone that a search tries by default")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    console = Console()
    versions, tasks = read_table(given.table, given.rungs)
    policies = dict.fromkeys((BASELINE, *given.policies))
    jobs, surrogates = {}, []
    for task in tasks.values():
        inventory = inspect(spec_of(task, {}, everything=given.all_methods), labels=2)
        surrogates.append(fit_surrogate(task, inventory))
        for slots in given.concurrent:
            for policy in filter(POLICIES.__contains__, policies):
                jobs[task.name, slots, policy] = [
                    Job(surrogates[-1], inventory, given.all_methods, policy, slots, seed)
                    for seed in range(given.seeds)
                ]
    console.print(surrogates_table(surrogates))
    played = iter(play_all([job for of in jobs.values() for job in of], given.processes))
    results = {case: [next(played) for _ in of] for case, of in jobs.items()}
    steps = FULL_TRIALS * surrogates[0].task.steps[-1]
    reached, stopped = volumes(results, steps), stops(results)
    for name in tasks:
        for table in task_tables(name, reached, stopped, policies):
            console.print(table)
    draw({case: [one.points for one in of] for case, of in results.items()}, steps, given.out / "replay.png")
    rows = [
        dict(zip(("task", "concurrent", "policy"), case, strict=True))
        | asdict(reached[case])
        | (asdict(stopped[case]) if case in stopped else {})
        for case in results
    ]
    facts = {package: version(package) for package in ("optuna", "ray", "numpy", "scipy")}
    document = {"table": versions, "versions": facts, "worlds": given.seeds, "figures": rows}
    (given.out / "replay.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
