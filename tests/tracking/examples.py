"""Searches and trainings to write, rows as they are read, and a real MLflow server that can be stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hypothesis import strategies as st

from spaces.model.budget import Budget
from spaces.spec.metrics import METRICS
from spaces.spec.spec import SearchSpec, parse_spec
from spaces.trials.records import Kind, Rung, State, TrialPlan, TrialResult
from tracking.documents.building import build_front, build_trials
from tracking.documents.schemas import FrontDocument, TrialsDocument
from tracking.mlflow_store.run_records import SearchRun, TrialRun
from tracking.mlflow_store.tags import SearchFacts


def plan(trial: str, *, kind: Kind = "trial", parameters: int = 1000, confirms: str | None = None) -> TrialPlan:
    """A plan whose settings are of every type that a configuration has."""
    return TrialPlan(
        trial=trial,
        kind=kind,
        method="lora" if kind != "reference" else "head",
        config={"learning_rate": 1e-3, "rank": 2, "scaling": 2.0, "targets": "qv", "layers": "all", "frozen": False},
        suggested={"share": 0.25, "targets": "qv"} if kind == "trial" else {},
        seed=7,
        confirms=confirms,
        trainable_parameters=parameters,
        stored_parameters=parameters // 2,
        adapter_bytes=4 * parameters,
        head_parameters=770,
        peak_updated_parameters=parameters + 5,
    )


def finished(
    quality: float, *, rungs: tuple[Rung, ...] = (), test_quality: float | None = None, best_step: int | None = None
) -> TrialResult:
    """A full training of 30 steps."""
    return TrialResult(
        state="finished",
        quality=quality,
        test_quality=test_quality,
        best_step=best_step,
        steps=30,
        train_seconds=1.5,
        peak_memory_bytes=2**33,
        rungs=rungs,
    )


def make_spec(storage: Path, name: str = "demo", experiment: str = "paretune") -> SearchSpec:
    return parse_spec(
        {
            "name": name,
            "model": {"path": "some/model"},
            "data": {"train": "train.csv"},
            "budget": {"parameters": 50_000},
            "methods": ["sparta", {"lora": {"rank": [1, 2]}}],
            "tracking": {"experiment": experiment},
            "storage": str(storage),
        }
    )


def search_row(metric: str = "accuracy") -> SearchRun:
    measure = METRICS[metric]
    facts = SearchFacts(
        base_model="some/model",
        base_parameters=1_000_000,
        head_parameters=770,
        budget=Budget(50_000, 50),
        metric=metric,
        mode=measure.mode,
        perfect=measure.perfect,
    )
    counts = {"finished": 12.0, "stopped": 7.0, "failed": 2.0, "rejected": 3.0}
    return SearchRun("parent", "1", 1_700_000_000_000, "running", counts, "demo", "id", facts)


def trial_row(
    trial: str,
    quality: float | None,
    parameters: int,
    *,
    state: State = "finished",
    kind: Kind = "trial",
    **more: float,
) -> TrialRun:
    metrics = {} if quality is None else {"quality": quality}
    ended = {"steps": 30.0, "train_seconds": 1.5, "peak_memory_bytes": 2.0**33}
    confirms = trial.partition("-")[0] if kind == "confirmation" else None
    one = plan(trial, kind=kind, parameters=parameters, confirms=confirms)
    return TrialRun(f"run-{trial}", state, metrics | ended | more, one, None)


REFERENCE = trial_row("reference", 0.5, 0, kind="reference")


def front_of(
    name: str, trials: Sequence[TrialRun], metric: str = "accuracy", *, confirmed: bool = False
) -> FrontDocument:
    """The front of a search of this name, with the usual reference."""
    built = build_front(search_row(metric), [REFERENCE, *trials], confirmed=confirmed, axis="trainable")
    return built.model_copy(update={"search": name})


def documents(trials: Sequence[TrialRun], metric: str = "accuracy") -> tuple[FrontDocument, TrialsDocument]:
    """The front and the trials of a search of these."""
    search = search_row(metric)
    return build_front(search, trials, confirmed=False, axis="trainable"), build_trials(search, trials)


WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Variables with which `mlflow server` starts no processes for jobs, of which it has none here."""

STATES: list[State] = ["finished", "finished", "finished", "stopped", "failed", "running"]
KINDS: list[Kind] = ["trial", "trial", "trial", "confirmation"]
rows = st.lists(
    st.tuples(
        st.none() | st.integers(0, 8).map(lambda eighth: eighth / 8),
        st.integers(50, 100) | st.integers(50, 50_000),
        st.sampled_from(STATES),
        st.sampled_from(KINDS),
    ),
    max_size=15,
).map(
    lambda made: [
        trial_row(f"{number:04d}", quality, size, state=state, kind=kind)
        for number, (quality, size, state, kind) in enumerate(made)
    ]
)


class Server:
    """`mlflow server` on a port of its own, which can be stopped and started again with what it knows."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        kept = [
            "--backend-store-uri",
            f"sqlite:///{self._folder}/mlflow.db",
            "--artifacts-destination",
            str(self._folder / "artifacts"),
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *where, *kept],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **WITHOUT_JOBS},
                start_new_session=True,
            )
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        raise RuntimeError((self._folder / "log").read_text())

    def stop(self) -> None:
        """Kill the server and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
