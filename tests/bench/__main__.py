"""`make bench`: time and memory of a training step, compared within one run; writes bench.json.

The time of a step of every method is a ratio to the frozen limit, forward and backward of the activations alone with
the head trained: on MiniLM, and on a wide block, where LoRA of as many parameters is what is to be beaten. The
competitors take turns, so that what else the machine does falls on all alike; only ratios of one run, medians over its
rounds, are meant to be compared. On a GPU the same in bfloat16. Memory is counted on the CPU, from the profiler.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console

from tests.bench import memory
from tests.bench.steps import turns
from tests.bench.steps.competitors import NARROW, WIDE
from tests.bench.steps.stages import DEVICE, TYPE, llama, minilm

THREADS = 2


def facts() -> dict[str, str | int]:
    """What the figures depend on."""
    known: dict[str, str | int] = {"machine": platform.machine(), "python": platform.python_version()}
    known |= {"device": str(DEVICE), "type": str(TYPE).removeprefix("torch."), "threads": torch.get_num_threads()}
    return known | {package: version(package) for package in ("torch", "transformers", "peft", "numba")}


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(THREADS)
    console, file = Console(), Path("bench.json")
    found: dict[str, object] = {"facts": facts(), "step": {}}
    parts = ((minilm, NARROW, 24), (lambda: llama(2048), WIDE, 16), (lambda: llama(4096), WIDE, 6))
    steps = {}
    for make, competitors, rounds in parts:
        stage = make()
        steps[stage.title] = turns.measure(stage, competitors, rounds)
        console.print(turns.table(f"step time, {stage.title}, {THREADS} threads, {found['facts']}", steps[stage.title]))
        file.write_text(json.dumps(found | {"step": steps}, indent=2), encoding="utf-8")
    used = memory.measured()
    console.print(memory.table(used))
    file.write_text(json.dumps(found | {"step": steps, "memory": used}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
