"""`python -m tests.bench.steps`: step times alone, of chosen stages and competitors, with no file."""

from __future__ import annotations

import argparse

import torch
from rich.console import Console

from tests.bench.steps.competitors import NARROW, WIDE
from tests.bench.steps.stages import llama, minilm
from tests.bench.steps.turns import measure, table

THREADS = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=("minilm", "2048", "4096"))
    parser.add_argument("--only", nargs="+", help="parts of the competitors' names")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    stage = minilm() if given.stage == "minilm" else llama(int(given.stage))
    of_stage = NARROW if given.stage == "minilm" else WIDE
    chosen = {
        name: one
        for name, one in of_stage.items()
        if given.only is None or "lora" in name or any(part in name for part in given.only)
    }
    Console().print(table(stage.title, measure(stage, chosen, given.rounds)))


if __name__ == "__main__":
    main()
