"""How one search stands, made of what was read of it."""

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

NOTHING = TrialCounts(finished=0, stopped=0, failed=0, rejected=0)


def build_status(name: str, row: SearchRun | None, standing: ScheduledSearch | None, storage: Path) -> SearchStatus:
    """A search that MLflow knows, or that was asked for, without its trials."""
    request = standing.request if standing is not None else None
    spec = request.spec if request is not None else None
    entry = build_search(row, "") if row is not None else None
    phase = standing.phase if standing is not None else _phase(row, storage / name)
    counts = entry.trials if entry is not None else NOTHING
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
        eta_seconds=seconds_left_since(row, progress) if row is not None and _has_one_driver(row, standing) else None,
        message=(standing.message if standing is not None else None) or _reason(phase, row),
    )


def unreadable_status(name: str, phase: Phase, flaw: str) -> SearchStatus:
    """A search of which no more can be said than that its records cannot be read."""
    return SearchStatus(
        search=name,
        state=phase,
        submitted=None,
        started=None,
        base_model="",
        budget=None,
        objective=None,
        hypervolume=None,
        trials=NOTHING,
        planned=None,
        progress=0.0,
        eta_seconds=None,
        message=flaw,
    )


def add_trials(status: SearchStatus, document: FrontDocument, trials: Sequence[TrialRun]) -> SearchStatus:
    """With what its trials say."""
    left = seconds_left(trials, status.planned) if status.state == "running" and status.planned is not None else None
    status = status.model_copy(update={"eta_seconds": left, "best": document.best, "knee": document.knee})
    if spoiled := [one.reason for one in trials if one.spoiled]:
        said = f"{len(spoiled)} of its trainings cannot be read; the first: {spoiled[0]}"
        status = status.model_copy(update={"message": status.message or said})
    return status


def _reason(phase: Phase, row: SearchRun | None) -> str | None:
    return row.reason if phase == "failed" and row is not None else None


def _phase(row: SearchRun | None, home: Path) -> Phase:
    """Of a search that the service was not asked for."""
    if row is None:
        return "queued"
    with suppress(OSError):  # MLflow is read all the same
        if row.state == "running" and has_stop_marker(home):
            return "stopping"
    return row.state


def _has_one_driver(row: SearchRun, standing: ScheduledSearch | None) -> bool:
    """Whether it runs, and by the driver that began it: time in which none ran says nothing of its pace."""
    if standing is None or standing.phase != "running":
        return False
    return standing.attempt <= 1 and row.started >= standing.request.submitted


def _objective(spec: SearchSpec | None) -> ObjectiveName | None:
    return ObjectiveName(metric=spec.metric.name, mode=spec.metric.mode) if spec is not None else None


def _planned(home: Path) -> int | None:
    """Trials of a search whose spec is not in MLflow, where it is at hand and whole."""
    file = home / search_folder.SPEC
    try:
        found = file.stat()
        return _planned_in(file, found.st_mtime_ns, found.st_size) if found.st_size <= _SPEC_BYTES else None
    except (RequestError, OSError):
        return None


@lru_cache(maxsize=1_000)
def _planned_in(file: Path, changed: int, size: int) -> int:
    """Read once, for as long as the file stays as it is: a list has those of all searches."""
    return load_spec(file).search.trials


def _moment(request: LaunchRequest | None) -> str | None:
    if request is None:
        return None
    return datetime.fromtimestamp(request.submitted / 1000, UTC).isoformat(timespec="seconds")
