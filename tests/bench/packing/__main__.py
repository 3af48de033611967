"""`python -m tests.bench.packing`: what packing trials on one frozen base gains; writes packing.json.

Steps a second of all trials together: packed into one process, one trial after the other in one process with both
threads, and in two processes with a thread each, half of the trials in either.
"""

from __future__ import annotations

import json
import statistics
from itertools import product
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from tests.bench.__main__ import facts
from tests.bench.packing.pack import Pack
from tests.bench.packing.processes import SideBySide
from tests.bench.packing.trials import batch_of, step_alone, step_packed, trials
from tests.bench.steps.stages import Stage, minilm
from tests.bench.steps.step import now

THREADS, TOKENS, VOCABULARY, ROUNDS = 2, 64, 20_000, 9
MICRO_BATCHES, PACKED = (4, 8, 16), (2, 4, 8)


def measure(stage: Stage, size: int, count: int, processes: SideBySide) -> dict[str, float]:
    """Medians of steps a second, the three ways in turn, and quartiles of the gain over one after the other."""
    pack, members = Pack(stage), trials(stage, count)
    batches = {one: batch_of(size, TOKENS, VOCABULARY, seed) for seed, one in enumerate(members)}
    rates: dict[str, list[float]] = {"packed": [], "in turn": [], "two processes": []}
    for turn in range(2 + ROUNDS):
        started = now()
        step_packed(pack, batches)
        between = now()
        for one, batch in batches.items():
            step_alone(one, batch)
        ended = now()
        beside = processes.seconds(size, count // 2)
        if turn >= 2:
            for name, taken in zip(rates, (between - started, ended - between, beside), strict=True):
                rates[name].append(count / taken)
    row = {name: statistics.median(values) for name, values in rates.items()}
    gains = [one / other for one, other in zip(rates["packed"], rates["in turn"], strict=True)]
    low, gain, high = statistics.quantiles(gains, n=4)
    return row | {"gain": gain, "low": low, "high": high}


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(THREADS)
    stage = minilm()
    columns = ("packed", "in turn", "two processes", "gain", "low", "high")
    table = Table("micro-batch", "trials", *columns, title=f"steps a second, MiniLM, {TOKENS} tokens")
    rows = []
    with SideBySide(TOKENS, VOCABULARY) as processes:
        for size, count in product(MICRO_BATCHES, PACKED):
            row = measure(stage, size, count, processes)
            rows.append({"micro_batch": size, "trials": count} | row)
            table.add_row(str(size), str(count), *(f"{row[name]:.2f}" for name in columns))
            Path("packing.json").write_text(json.dumps({"facts": facts(), "rows": rows}, indent=2), encoding="utf-8")
    Console().print(table)


if __name__ == "__main__":
    main()
