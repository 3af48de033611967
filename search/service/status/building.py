"""Build the status of one search from its run, its request and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from search.documents.service import Phase, SearchStatus
from search.service.dispatch.schedule import ScheduledSearch
from search.service.dispatch.stop_marker import has_stop_marker
from search.service.status.eta import seconds_left, seconds_left_since
from search.storage import search_folder
from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec, load_spec
from tracking.documents.building import build_search
from tracking.documents.schemas import FrontDocument, ObjectiveName, TrialCounts
from tracking.mlflow_store.launch_requests import LaunchRequest
from tracking.mlflow_store.run_records import SearchRun, TrialRun

_SPEC_BYTES = 10_000_000

NO_TRIALS = TrialCounts(finished=0, stopped=0, failed=0, rejected=0)


def build_status(name: str, row: SearchRun | None, scheduled: ScheduledSearch | None, storage: Path) -> SearchStatus:
    """Return the status of a search without its trials.

    Args:
        row: its run; None where it has not begun.
        scheduled: its request and job; None where the service was not asked for it.
        storage: the folder of searches.
    """
    request = scheduled.request if scheduled is not None else None
    spec = request.spec if request is not None else None
    entry = build_search(row, "") if row is not None else None
    phase = scheduled.phase if scheduled is not None else _phase(row, storage / name)
    counts = entry.trials if entry is not None else NO_TRIALS
    planned = spec.search.trials if spec is not None else _planned(storage / name)
    ended = counts.finished + counts.stopped + counts.failed
    progress = 1.0 if phase == "finished" else min(1.0, ended / planned) if planned else 0.0
    return SearchStatus(
        search=name,
        state=phase,
        submitted=_moment(request),
        started=entry.started if entry is not None else None,
        base_model=entry.base_model if entry is not None else spec.model.path if spec is not None else "",
        budget=entry.budget if entry is not None else None,
        objective=entry.objective if entry is not None else _objective(spec),
        hypervolume=entry.hypervolume if entry is not None else None,
        trials=counts,
        planned=planned,
        progress=progress,
        eta_seconds=seconds_left_since(row, progress) if row is not None and _has_one_driver(row, scheduled) else None,
        message=(scheduled.message if scheduled is not None else None) or _reason(phase, row),
    )


def unreadable_status(name: str, phase: Phase, flaw: str) -> SearchStatus:
    """Return the status of a search whose records cannot be read; `flaw` says why, in one line."""
    return SearchStatus(
        search=name,
        state=phase,
        submitted=None,
        started=None,
        base_model="",
        budget=None,
        objective=None,
        hypervolume=None,
        trials=NO_TRIALS,
        planned=None,
        progress=0.0,
        eta_seconds=None,
        message=flaw,
    )


def add_trials(status: SearchStatus, document: FrontDocument, trials: Sequence[TrialRun]) -> SearchStatus:
    """Return the status with what the trials add: best point, knee, time left, and those with spoiled records."""
    left = seconds_left(trials, status.planned) if status.state == "running" and status.planned is not None else None
    status = status.model_copy(update={"eta_seconds": left, "best": document.best, "knee": document.knee})
    if spoiled := [one.reason for one in trials if one.spoiled]:
        said = f"{len(spoiled)} of its trainings cannot be read; the first: {spoiled[0]}"
        status = status.model_copy(update={"message": status.message or said})
    return status


def _reason(phase: Phase, row: SearchRun | None) -> str | None:
    return row.reason if phase == "failed" and row is not None else None


def _phase(row: SearchRun | None, home: Path) -> Phase:
    """Return the state of a search that the service was not asked for."""
    if row is None:
        return "queued"
    with suppress(OSError):  # the storage may be away while MLflow answers
        if row.state == "running" and has_stop_marker(home):
            return "stopping"
    return row.state


def _has_one_driver(row: SearchRun, scheduled: ScheduledSearch | None) -> bool:
    """Tell whether the search runs by the driver that began it, so that its whole time counts for its pace."""
    if scheduled is None or scheduled.phase != "running":
        return False
    return scheduled.attempt <= 1 and row.started >= scheduled.request.submitted


def _objective(spec: SearchSpec | None) -> ObjectiveName | None:
    return ObjectiveName(metric=spec.metric.name, mode=spec.metric.mode) if spec is not None else None


def _planned(home: Path) -> int | None:
    """Return the number of trials in the spec of a search's folder; None where it cannot be read."""
    file = home / search_folder.SPEC
    try:
        found = file.stat()
        return _planned_in(file, found.st_mtime_ns, found.st_size) if found.st_size <= _SPEC_BYTES else None
    except (RequestError, OSError):
        return None


@lru_cache(maxsize=1_000)
def _planned_in(file: Path, changed: int, size: int) -> int:
    """Return the number of trials in a spec; cached until the file changes, because a list needs it of all searches."""
    return load_spec(file).search.trials


def _moment(request: LaunchRequest | None) -> str | None:
    if request is None:
        return None
    return datetime.fromtimestamp(request.submitted / 1000, UTC).isoformat(timespec="seconds")
