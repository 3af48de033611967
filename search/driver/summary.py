"""The summary of a search: from MLflow where it has everything, else from the ledger."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search.driver.confirm import summarise
from search.driver.preflight import Prepared
from search.driver.recorder import Recorder
from spaces.errors import RequestError, WorkError
from spaces.files.atomic_file import write_durably
from tracking.documents.building import build_front, build_trials, is_near_head
from tracking.documents.schemas import FrontDocument, TrialsDocument
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.run_records import SearchRun, TrialRun
from tracking.mlflow_store.runs import find_search, read_trials
from tracking.mlflow_store.tags import SearchFacts
from tracking.reports.plots import front_html, front_png

JSON, HTML, PNG = "front.json", "front.html", "front.png"


@dataclass(frozen=True)
class Summary:
    """The front, the confirmed front, everything tried with its `rows`, and the events that MLflow does not have yet.

    Attributes:
        front: The front of the trials.
        confirmed: The front of the confirmed points.
        trials: All trials.
        waiting: The number of events that MLflow does not have yet.
        near_head: The best trial is not told apart from the head alone.
        ended_early: The reason why the search ended before its last trial, if it did.
    """

    front: FrontDocument
    confirmed: FrontDocument
    trials: TrialsDocument
    search: SearchRun
    rows: tuple[TrialRun, ...]
    waiting: int
    near_head: bool = False
    ended_early: str | None = None


def summarise_run(prepared: Prepared, recorder: Recorder, uri: str, waiting: int) -> Summary:
    """Sum up a search; run ids are empty while MLflow lacks events or cannot be read."""
    if not waiting:
        with suppress(RequestError, WorkError):
            return summarise_tracked(uri, prepared.spec.name, waiting)
    return summary_of(*_local(prepared, recorder), waiting)


def summarise_tracked(uri: str, name: str, waiting: int) -> Summary:
    """Sum up a search from MLflow."""
    with reading(uri) as client:
        search = find_search(client, name)
        rows = read_trials(client, search)
    return summary_of(search, rows, waiting)


def summary_of(search: SearchRun, rows: list[TrialRun], waiting: int) -> Summary:
    """Sum up everything that a search trained."""
    return Summary(
        front=build_front(search, rows, confirmed=False, axis="trainable"),
        confirmed=build_front(search, rows, confirmed=True, axis="trainable"),
        trials=build_trials(search, rows),
        search=search,
        rows=tuple(rows),
        waiting=waiting,
        near_head=is_near_head(search, rows),
    )


def write_pictures(summary: Summary, home: Path) -> list[Path]:
    """Write the front into the search folder as JSON, as a page and as a picture, and return the files."""
    front_html(summary.front, summary.trials, home / HTML)
    front_png(summary.front, summary.trials, home / PNG)
    write_durably(home / JSON, _json(summary))
    return [home / name for name in (JSON, HTML, PNG)]


def is_written(summary: Summary, home: Path) -> bool:
    """Return whether the front in the search folder is this one."""
    try:
        return (home / JSON).read_text(encoding="utf-8") == _json(summary)
    except (OSError, ValueError):
        return False


def _json(summary: Summary) -> str:
    return summary.front.model_dump_json(indent=2)


def _local(prepared: Prepared, recorder: Recorder) -> tuple[SearchRun, list[TrialRun]]:
    spec, inventory = prepared.spec, prepared.inventory
    search = SearchRun(
        run_id="",
        experiment_id="",
        started=0,
        state="finished",
        metrics={name: float(number) for name, number in recorder.counts().items()},
        name=spec.name,
        search_id="",
        facts=SearchFacts.of(spec, prepared.budget, inventory.base_parameters, inventory.head_parameters),
    )
    confirmed = {one.trial: one for one in summarise(recorder.ledger)}
    rows = []
    for trial in sorted(recorder.ended):
        plan, result = recorder.ended[trial].plan, recorder.ended[trial].result
        numbers = result.model_dump(include={"quality", "steps", "train_seconds", "peak_memory_bytes", "test_quality"})
        if trial in confirmed:
            one = confirmed[trial]
            numbers |= {"confirmed_quality": one.mean, "confirmed_std": one.deviation, "test_quality": one.test}
            numbers["confirmed_seeds"] = one.seeds
        metrics = {name: float(value) for name, value in numbers.items() if value is not None}
        rows.append(TrialRun("", result.state, metrics, plan, result.reason, row_values=result.row_values))
    return search, rows
