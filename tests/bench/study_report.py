"""What the recorded study says: tables and a picture, from the lines alone."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

METRICS = {"sst2": "accuracy", "cola": "matthews"}
RECORD = Path(__file__).with_name("study.jsonl")
METHODS = ("lora", "shira", "sparta", "dst", "surm-circulant", "surm-toeplitz", "surm-kronecker", "surm-ldr")
BUDGETS = (768, 4_608, 50_000)
FRESH_SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Result:
    """A method on a task under a budget: its count, the rate that validated best, and its test scores there."""

    task: str
    method: str
    budget: int
    parameters: int
    learning_rate: float
    validation: float
    tests: tuple[float, ...]


def results(file: Path = RECORD) -> list[Result]:
    """Every method on every task under every budget where it was trained on fresh seeds, in a fixed order."""
    tuning: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    fresh: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        budget = min(one for one in BUDGETS if one >= line["trainable_parameters"])
        (fresh if line["tested"] else tuning)[line["task"], line["method"], budget].append(line)
    found = []
    for (task, method, budget), lines in fresh.items():
        rate = json.loads(lines[0]["config"])["learning_rate"]
        at = next(one for one in tuning[task, method, budget] if json.loads(one["config"])["learning_rate"] == rate)
        tests = tuple(one["test"] for one in sorted(lines, key=lambda one: one["seed"]) if one["test"] is not None)
        found.append(Result(task, method, budget, at["trainable_parameters"], rate, at["validation"], tests))
    return sorted(found, key=lambda one: (one.task, METHODS.index(one.method), one.budget))


def shown(one: Result) -> str:
    """Mean and spread, and the count; how many there are where a training failed."""
    if len(one.tests) < 2:
        return f"{len(one.tests)} of {len(FRESH_SEEDS)} trainings"
    failed = "" if len(one.tests) == len(FRESH_SEEDS) else f", {len(one.tests)} of {len(FRESH_SEEDS)}"
    spread = f"{statistics.mean(one.tests):.3f} ± {statistics.stdev(one.tests):.3f}"
    return f"{spread}{failed} ({one.parameters:,}; {one.learning_rate:.2g})"


def table(of: Iterable[Result], task: str) -> str:
    """Test score as mean ± standard deviation, with the count and the tuned learning rate, in Markdown."""
    found = {(one.method, one.budget): one for one in of if one.task == task}
    lines = [
        f"| {task}, {METRICS[task]} | " + " | ".join(f"{budget:,}" for budget in BUDGETS) + " |",
        "|---" * (1 + len(BUDGETS)) + "|",
    ]
    for method in METHODS:
        cells = (found.get((method, budget)) for budget in BUDGETS)
        lines.append(
            f"| `{method}` | " + " | ".join("no setting" if one is None else shown(one) for one in cells) + " |"
        )
    return "\n".join(lines)


def picture(of: Iterable[Result], path: Path) -> None:
    """Mean test score over trainable parameters, one panel a task, bars of one standard deviation."""
    known = [one for one in of if len(one.tests) > 1]
    tasks = list(dict.fromkeys(one.task for one in known))
    figure = Figure(figsize=(6 * len(tasks), 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for number, method in enumerate(METHODS):
            mine = [one for one in known if (one.task, one.method) == (task, method)]
            # Side by side around each budget, so that the bars do not hide each other.
            across = [one.budget * 1.06 ** (number - len(METHODS) / 2) for one in mine]
            means = [statistics.mean(one.tests) for one in mine]
            spreads = [statistics.stdev(one.tests) for one in mine]
            axes.errorbar(across, means, yerr=spreads, marker="osD^v<>P"[number], capsize=2, label=method, lw=1)
        axes.set(xscale="log", title=task, xlabel="trainable parameters", ylabel=f"test {METRICS[task]}")
        axes.grid(color="#EAEAEA")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path)
