"""`python -m tests.bench.reporting`: what telling MLflow costs a search, in requests and in time of its driver.

Searches of trials that train nothing (see `tests.bench.noop`), with MLflow in a SQLite file and as a server of its own
over one: ours, Ray's MLflowLoggerCallback with the same reports, and one that tells nobody. Trials report as fast as
they can, or after a pause, as trainings of a second or so do. Requests are counted where they leave: over HTTP those of
the client's connections, with a file the calls of its store. The driver is blocked while its loop is in what tracks.
Writes reporting.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial, wraps
from inspect import isfunction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.experiment import Trial
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from rich.console import Console
from rich.table import Table

from search.driver import phases, tune_run
from search.driver.interruption import Interruption
from search.driver.phases import Run, search_phase
from search.driver.recorder import Recorder
from search.driver.tune_run import RecordingCallback
from search.ray_cluster.connect import start_here
from search.suggest.study import open_study
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialResult
from tests.bench.figures import facts
from tests.bench.noop import NoopTrainable, prepared, spec_of
from tests.tracking.examples import Server
from tracking.writing.outbox import Outbox
from tracking.writing.search_writer import SearchWriter
from trainables.trial import WorkerInputs

OURS, RAYS, NOBODY = "paretune", "MLflowLoggerCallback", "nobody is told"
CONCURRENT, PAUSE = 2, 0.5
OBJECTIVE, REPORT = "quality", ", a report"
QUIET = Console(quiet=True)
TELLING = (
    (Outbox, "append"),
    *((SearchWriter, f"{event}_trial") for event in ("start", "end")),
    *((SearchWriter, name) for name in ("report", "set_on_front", "upload_adapter", "log_counts")),
)
"""What the driver's loop waits for."""


@dataclass(frozen=True)
class Case:
    """A search. `pause`: seconds before each report. `server`: whether MLflow is one; else it is a file."""

    who: str
    server: bool
    pause: float
    trials: int


class PausingTrainable(NoopTrainable):
    """Takes its time."""

    def _advance(self) -> TrialResult | None:
        time.sleep(self._inputs.spec.training.weight_decay)  # a field that nothing else reads here
        return super()._advance()


Note = Callable[[float, tuple[Any, ...], Mapping[str, Any]], None]
"""Takes the seconds and arguments of a call."""


class Counts:
    """What left for MLflow, and for how long the driver's loop was in what tracks."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.reports = 0
        self.blocked = 0.0
        self._depth = threading.local()

    def requested(self, of: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        """The function, whose calls are requests with this name."""

        def note(seconds: float, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            self.requests[name(*given, **named)] += 1

        return self._outermost(of, note)

    def reported(self, of: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose calls are reports."""

        def note(seconds: float, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            self.reports += 1

        return self._outermost(of, note)

    def waited(self, of: Callable[..., Any]) -> Callable[..., Any]:
        """The function, for whose calls the driver's loop waits."""

        def note(seconds: float, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            if threading.current_thread() is threading.main_thread():
                self.blocked += seconds

        return self._outermost(of, note)

    def _outermost(self, of: Callable[..., Any], note: Note) -> Callable[..., Any]:
        """Calls within another one of the same kind are a part of it."""
        depths, kind = self._depth, note.__qualname__

        @wraps(of)
        def noted(*given: Any, **named: Any) -> Any:
            depth = getattr(depths, kind, 0)
            setattr(depths, kind, depth + 1)
            began = time.perf_counter()
            try:
                return of(*given, **named)
            finally:
                setattr(depths, kind, depth)
                if not depth:
                    note(time.perf_counter() - began, given, named)

        return noted


@contextmanager
def exchanged(places: Iterable[tuple[Any, str, Callable[[Any], Any]]]) -> Iterator[None]:
    """Attributes made anew from what they are, for a while."""
    before = [(of, name, getattr(of, name), make) for of, name, make in places]
    for of, name, value, make in before:
        setattr(of, name, make(value))
    try:
        yield
    finally:
        for of, name, value, _ in reversed(before):
            setattr(of, name, value)


def path_of(adapter: HTTPAdapter, request: PreparedRequest, **named: Any) -> str:
    """What a request asks of MLflow, without where that is: POST runs/log-batch."""
    parts = urlsplit(str(request.url)).path.split("/")
    known = [part for part in parts if part not in ("", "api", "2.0", "mlflow", "ajax-api")]
    carries = REPORT if f'"{OBJECTIVE}"' in _text(request.body) else ""
    return f"{request.method} {'/'.join(known[:2])}{carries}"


def _text(body: Any) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)


def call_of(name: str, *given: Any, **named: Any) -> str:
    """The same of a call of a store."""
    return name + (REPORT if any(_is_quality(one) for one in (*given, *named.values())) else "")


def _is_quality(value: Any) -> bool:
    return any(getattr(one, "key", None) == OBJECTIVE for one in (value if isinstance(value, list) else [value]))


def public_methods(of: type) -> list[str]:
    """Those that a class defines itself."""
    return [name for name, value in vars(of).items() if not name.startswith("_") and isfunction(value)]


class Told(RecordingCallback):
    """Tells Ray's callback what our recorder hears."""

    def __init__(self, logger: MLflowLoggerCallback, *given: Any) -> None:
        super().__init__(*given)
        self._logger = logger

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._logger.on_trial_start(iteration, trials, trial)
        super().on_trial_start(iteration, trials, trial, **info)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._logger.on_trial_result(iteration, trials, trial, result)
        super().on_trial_result(iteration, trials, trial, result, **info)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._logger.on_trial_complete(iteration, trials, trial)
        super().on_trial_complete(iteration, trials, trial, **info)


def nowhere(writer: SearchWriter) -> SearchWriter:
    """The writer, telling nobody."""
    writer._record = lambda *events: None  # type: ignore[method-assign]
    return writer


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Run one search."""
    spec = spec_of(folder, case.trials, CONCURRENT)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"weight_decay": case.pause})})
    spec.home.mkdir(parents=True)
    server = Server(folder) if case.server else None
    counts = Counts()
    places: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (RecordingCallback, "on_trial_result", counts.reported),
        *((of, name, counts.waited) for of, name in TELLING if case.who == OURS),
        *((MLflowLoggerCallback, f"log_trial_{event}", counts.waited) for event in ("start", "result", "end")),
    ]
    if server:
        places.append((HTTPAdapter, "send", lambda of: counts.requested(of, path_of)))
    else:
        for name in public_methods(SqlAlchemyStore):
            places.append((SqlAlchemyStore, name, partial(counts.requested, name=partial(call_of, name))))
    uri = server.uri if server else f"sqlite:///{folder}/mlflow.db"
    if server:
        server.start()
    try:
        ready, ledger = prepared(spec), Ledger(spec.home).taken_over()
        writer = SearchWriter(uri, spec, "bench", spec.home)
        if case.who == OURS:
            inventory = ready.inventory
            writer.start_search(ready.budget, inventory.base_parameters, inventory.head_parameters)
            assert writer.drain(60) == 0, "MLflow does not answer"
        else:
            writer = nowhere(writer)
        if case.who == RAYS:
            logger = MLflowLoggerCallback(uri, experiment_name="bench")
            logger.setup()
            places.append((phases, "RecordingCallback", lambda of: partial(Told, logger)))
        with exchanged(places):
            recorder = Recorder(ledger, writer, ready.budget, spec.metric)
            run = Run(ready, ledger, open_study(spec, "bench", spec.home), writer, recorder, QUIET, 0.0, Interruption())
            nothing = ray.put(None)
            began = time.perf_counter()
            search_phase(run, WorkerInputs(spec, ready.inventory, ledger, nothing, nothing, nothing))
            seconds = time.perf_counter() - began
            left = writer.drain(120)
        assert left == 0, f"{left} events were not taken"
        writer.close(0)
    finally:
        if server:
            server.stop()
    reports = max(1, counts.reports)
    return {
        **asdict(case),
        "seconds": seconds,
        "reports": counts.reports,
        "requests": dict(counts.requests.most_common()),
        "requests_a_report": sum(counts.requests.values()) / reports,
        "reporting_requests_a_report": sum(n for name, n in counts.requests.items() if name.endswith(REPORT)) / reports,
        "blocked_milliseconds_a_report": 1_000 * counts.blocked / reports,
        "blocked": counts.blocked / seconds,
        "seconds_a_trial": seconds / case.trials,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200, help="Of searches that do not pause.")
    parser.add_argument("--out", type=Path, default=Path("reporting.json"))
    given = parser.parse_args()
    tune_run.TrialTrainable = PausingTrainable  # type: ignore[misc]
    few = max(1, given.trials // 10)
    cases = [
        Case(who, server, pause, trials)
        for server in (False, True)
        for who, pause, trials in (
            (OURS, 0.0, given.trials),
            (RAYS, 0.0, few),
            (OURS, PAUSE, 2 * few),
            (RAYS, PAUSE, few),
        )
    ]
    cases.insert(0, Case(NOBODY, False, 0.0, given.trials))
    start_here(num_cpus=CONCURRENT)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        # The first search of a process imports what the others find.
        measure(Case(OURS, False, 0.0, 2), Path(temporary) / "first")
        for number, case in enumerate(cases):
            rows.append(measure(case, Path(temporary) / str(number)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    ray.shutdown()
    columns = (
        "MLflow",
        "pause, s",
        "",
        "reports",
        "requests a report",
        "with a quality",
        "ms a report",
        "blocked",
        "s a trial",
    )
    table = Table(*columns, title="what tracking costs; a trial reports three times")
    for row in rows:
        where = "server" if row["server"] else "SQLite"
        requests = (f"{row[name]:.2f}" for name in ("requests_a_report", "reporting_requests_a_report"))
        times = (
            f"{row['blocked_milliseconds_a_report']:.1f}",
            f"{row['blocked']:.1%}",
            f"{row['seconds_a_trial']:.3f}",
        )
        table.add_row(where, f"{row['pause']:g}", row["who"], str(row["reports"]), *requests, *times)
    Console(width=140).print(table)
    document = {"facts": facts("ray", "optuna", "mlflow", "sqlalchemy"), "rows": rows}
    given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
