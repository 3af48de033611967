"""How searches stand: what MLflow has of them, what was asked for, and what Ray says of the job."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from search import home as search_home
from search.service.documents import Phase, SearchStatus
from search.service.jobs import Job, Jobs
from search.service.readings import Readings
from search.service.scheduling import Standing, standings
from search.service.settings import Settings
from spaces.errors import Unknown, WorkError
from spaces.fronts import knee
from spaces.spec import load_spec
from tracking.client import reading
from tracking.documents import FrontDocument, ObjectiveName, TrialCounts
from tracking.reader import front_document
from tracking.requests import Request, find_requests
from tracking.rows import SearchRow, find_search, list_searches
from tracking.views import build_search

NOTHING = TrialCounts(finished=0, stopped=0, failed=0, rejected=0)


def local_status(uri: str, storage: Path, name: str) -> SearchStatus:
    """One search that no service runs.

    Raises:
        RequestError: when MLflow has none of that name.
    """
    with reading(uri) as client:
        row = find_search(client, name)
    return _with_points(_status(name, row, None, storage), front_document(uri, name))


def known_jobs(jobs: Jobs) -> Mapping[str, Job] | None:
    """What Ray says; None while it does not answer, so that what MLflow has can be read all the same."""
    try:
        return jobs.all()
    except WorkError:
        return None


def list_statuses(
    settings: Settings, readings: Readings, jobs: Mapping[str, Job] | None, name: str | None = None
) -> list[SearchStatus]:
    """Every search that MLflow knows or the service was asked for, or the one of that name; newest first.

    Where Ray does not answer, a search stands as MLflow has it.
    """
    with reading(settings.tracking_uri) as client:
        rows: dict[str, SearchRow] = {}
        for row in list_searches(client, name):
            rows.setdefault(row.name, row)
        requests = {one.name: one for one in reversed(find_requests(client, name))}
    readings.saw(rows.values())
    tracked = {one: row.state for one, row in rows.items()}
    asked = {one.request.name: one for one in standings(requests.values(), jobs or {}, tracked)}
    found = [_status(one, rows.get(one), asked.get(one), settings.storage) for one in {**asked, **rows}]
    if jobs is None:
        found = [one.model_copy(update={"state": tracked.get(one.search, one.state)}) for one in found]
    return sorted(found, key=lambda one: one.started or one.submitted or "", reverse=True)


def search_status(settings: Settings, readings: Readings, jobs: Jobs, name: str) -> SearchStatus:
    """One search, with its best point and its knee.

    Raises:
        RequestError: when there is none.
    """
    known = known_jobs(jobs)
    found = list_statuses(settings, readings, known, name)
    if not found:
        raise Unknown(f"search {name!r}: not known; allowed: one of GET /v1/searches")
    (status,) = found
    if status.started is not None:
        status = _with_points(status, readings.of(name).front_document())
    if status.state == "failed" and known is not None:
        return status.model_copy(update={"message": _why(settings, jobs, known, name)})
    return status


def _with_points(status: SearchStatus, document: FrontDocument) -> SearchStatus:
    points = document.front
    if not points:
        return status
    best = knee(points, lambda one: one.quality, lambda one: one.trainable_parameters, status.objective.mode)
    return status.model_copy(update={"best": points[-1], "knee": best})


def _why(settings: Settings, jobs: Jobs, known: Mapping[str, Job], name: str) -> str:
    with reading(settings.tracking_uri) as client:
        (standing,) = standings(find_requests(client, name)[:1], known, {})
    if standing.job is None:
        return ""
    return jobs.last_line(standing.job.name) or standing.job.message


def _status(name: str, row: SearchRow | None, standing: Standing | None, storage: Path) -> SearchStatus:
    request = standing.request if standing is not None else None
    entry = build_search(row, "") if row is not None else None
    phase: Phase = standing.phase if standing is not None else (row.state if row is not None else "queued")
    counts = entry.trials if entry is not None else NOTHING
    planned = request.spec.search.trials if request is not None else _planned(storage / name)
    ended = counts.finished + counts.stopped + counts.failed
    progress = 1.0 if phase == "finished" else min(1.0, ended / planned) if planned else 0.0
    eta = None
    if row is not None and phase == "running" and 0 < progress < 1:
        eta = (time.time() - row.started / 1000) * (1 - progress) / progress
    if entry is not None:
        objective, base = entry.objective, entry.base_model
    else:
        assert request is not None
        metric = request.spec.metric
        objective, base = ObjectiveName(metric=metric.name, mode=metric.mode), request.spec.model.path
    return SearchStatus(
        search=name,
        state=phase,
        submitted=_moment(request),
        started=entry.started if entry is not None else None,
        base_model=base,
        budget=entry.budget if entry is not None else None,
        objective=objective,
        hypervolume=entry.hypervolume if entry is not None else None,
        trials=counts,
        planned=planned,
        progress=progress,
        eta_seconds=eta,
    )


def _planned(home: Path) -> int | None:
    """Trials of a search that was not asked for here, where its spec is at hand."""
    return load_spec(home / search_home.SPEC).search.trials if search_home.exists(home) else None


def _moment(request: Request | None) -> str | None:
    if request is None:
        return None
    return datetime.fromtimestamp(request.submitted / 1000, UTC).isoformat(timespec="seconds")
