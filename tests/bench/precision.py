"""`python -m tests.bench.precision`: whether bfloat16 does harm on a CPU, and how much time it saves.

Ten methods on three tasks in every precision, on the same seeds, at each method's own setting and learning rate. The
trainings are added to `tests/bench/precision.jsonl`: what was interrupted, or done for fewer seeds, goes on there. Then
a table: for each precision the mean difference of the held-out quality from float32 on the same seed, beside the spread
of float32 between seeds, and how much faster a training is. Times compare within one machine that does nothing else.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from spaces.methods.registry import method
from tests.bench.trainings import TASKS, Line, Run, run_of, work, write_data
from trainables.base_model.precision import Resolved

STUDIED = ("word-order", "snips", "cr")
METHODS = (
    *("lora", "adalora", "vera", "ia3", "bitfit", "ln-tuning"),
    *("sparta", "dst", "surm-circulant", "surm-kronecker"),
)
PRECISIONS: tuple[Resolved, ...] = ("float32", "bf16", "bf16-mixed")
RECORD = Path(__file__).with_name("precision.jsonl")


@dataclass(frozen=True)
class Comparison:
    """A precision beside float32, for one method on one task.

    Attributes:
        difference: the mean of the quality's difference on the same seed.
        spread: the standard deviation of float32 between seeds.
        speed: float32's seconds as a multiple of this precision's.
        seeds: how many were compared.
    """

    difference: float
    spread: float
    speed: float
    seeds: int

    @property
    def harmless(self) -> bool:
        """Whether nothing is lost beyond the spread of the seeds."""
        return self.difference >= -self.spread


def runs(methods: Sequence[str], seeds: int) -> list[Run]:
    """Every training of the study."""
    return [
        replace(run_of(task, name, method(name).configuration(), seed, tested=True), precision=precision)
        for seed in range(1, seeds + 1)
        for task in STUDIED
        for name in methods
        for precision in PRECISIONS
    ]


def comparisons(lines: Mapping[Run, Line]) -> dict[tuple[str, str, str], Comparison]:
    """Compare by task, method and precision what was trained on at least two seeds in float32 too."""
    found: dict[tuple[str, str], dict[str, dict[int, Line]]] = defaultdict(lambda: defaultdict(dict))
    for run, line in lines.items():
        if line["test"] is not None:
            found[run.task, run.method][run.precision][run.seed] = line
    compared = {}
    for (task, name), by_precision in found.items():
        plain = by_precision["float32"]
        for precision, others in by_precision.items():
            both = sorted(plain.keys() & others.keys())
            if precision == "float32" or len(both) < 2:
                continue
            compared[task, name, precision] = Comparison(
                difference=mean(others[seed]["test"] - plain[seed]["test"] for seed in both),
                spread=stdev(plain[seed]["test"] for seed in both),
                speed=sum(plain[seed]["seconds"] for seed in both) / sum(others[seed]["seconds"] for seed in both),
                seeds=len(both),
            )
    return compared


def table(compared: Mapping[tuple[str, str, str], Comparison]) -> str:
    """The comparisons as a table in Markdown."""
    rows: Iterable[str] = (
        f"| {task} | {name} | {precision} | {one.difference:+.3f} | {one.spread:.3f} | {one.speed:.2f} | {one.seeds} | "
        f"{'yes' if one.harmless else 'no'} |"
        for (task, name, precision), one in sorted(compared.items())
    )
    head = "| task | method | precision | difference | spread of float32 | times as fast | seeds | harmless |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("precision"))
    parser.add_argument("--runs", type=Path, default=RECORD, help="the trainings so far, to which more are added")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    for task in STUDIED:
        write_data(TASKS[task], given.shared, given.out)
    lines = work(runs(given.methods, given.seeds), given.out, given.runs, given.processes, "precisions")
    print(table(comparisons(lines)))


if __name__ == "__main__":
    main()
