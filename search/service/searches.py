"""How searches stand: what MLflow has of them, what was asked for, and what Ray says of the job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from search.service.documents import SearchStatus
from search.service.jobs import Job, Jobs
from search.service.readings import Readings
from search.service.scheduling import standings
from search.service.settings import Settings
from search.service.statuses import status_of, with_trials
from spaces.errors import Unknown, WorkError
from tracking.client import reading
from tracking.requests import find_requests
from tracking.rows import SearchRow, deleted_search, find_search, list_searches, read_trials
from tracking.views import build_front


def local_status(uri: str, storage: Path, name: str) -> SearchStatus:
    """One search that no service runs.

    Raises:
        RequestError: when MLflow has none of that name.
    """
    with reading(uri) as client:
        row = find_search(client, name)
        trials = read_trials(client, row)
    front = build_front(row, trials, confirmed=False, axis="trainable")
    return with_trials(status_of(name, row, None, storage), front, trials)


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
    found = [status_of(one, rows.get(one), asked.get(one), settings.storage) for one in {**asked, **rows}]
    if jobs is None:
        found = [
            one.model_copy(update={"state": tracked.get(one.search, one.state)})
            if one.search in asked and one.state != "failed"  # which is known without Ray
            else one
            for one in found
        ]
    return sorted(found, key=lambda one: one.started or one.submitted or "", reverse=True)


def search_status(settings: Settings, readings: Readings, jobs: Jobs, name: str) -> SearchStatus:
    """One search, with its best point and its knee.

    Raises:
        RequestError: when there is none.
    """
    known = known_jobs(jobs)
    found = list_statuses(settings, readings, known, name)
    deleted = _deleted(settings, name) if not found or found[0].started is None else None
    if not found:
        if deleted is not None:
            raise Unknown(f"search {name!r}: {deleted}")
        raise Unknown(f"search {name!r}: not known; allowed: one of GET /v1/searches")
    (status,) = found
    if deleted is not None:
        return status.model_copy(update={"message": deleted})
    if status.started is not None:
        reading_of = readings.of(name)
        status = with_trials(status, reading_of.front_document(), reading_of.trials)
    if status.state == "failed" and status.message is None and known is not None:
        return status.model_copy(update={"message": _why(settings, jobs, known, name)})
    return status


def _deleted(settings: Settings, name: str) -> str | None:
    with reading(settings.tracking_uri) as client:
        return deleted_search(client, name)


def _why(settings: Settings, jobs: Jobs, known: Mapping[str, Job], name: str) -> str:
    """Of a failure that was not recorded yet."""
    with reading(settings.tracking_uri) as client:
        (standing,) = standings(find_requests(client, name)[:1], known, {})
    return jobs.why(standing.job) if standing.job is not None else ""
