"""How searches stand: what MLflow has of them, what was asked for, and what Ray says of the job."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from search.documents.service import SearchStatus
from search.service.cache.trial_cache import SpoiledRecords, TrialCache
from search.service.dispatch.known_searches import read_searches
from search.service.dispatch.schedule import ScheduledSearch, schedule
from search.service.jobs.ray_jobs import Job, Jobs, known_jobs
from search.service.settings import Settings
from search.service.status.building import add_trials, build_status, unreadable_status
from spaces.errors import Unknown, WorkError
from spaces.trials.records import State
from tracking.documents.building import build_front
from tracking.mlflow_store.client import one_line, reading
from tracking.mlflow_store.launch_requests import find_requests
from tracking.mlflow_store.run_records import SearchRun
from tracking.mlflow_store.runs import deleted_search, find_search, scan_trials

logger = logging.getLogger(__name__)


def local_status(uri: str, storage: Path, name: str) -> SearchStatus:
    """One search that no service runs.

    Raises:
        RequestError: when MLflow has none of that name.
    """
    with reading(uri) as client:
        row = find_search(client, name)
        trials = scan_trials(client, row)
    front = build_front(row, trials, confirmed=False, axis="trainable")
    return add_trials(build_status(name, row, None, storage), front, trials)


def list_statuses(
    settings: Settings, cache: TrialCache, jobs: Mapping[str, Job] | None, name: str | None = None
) -> list[SearchStatus]:
    """Every search that MLflow knows or the service was asked for, or the one of that name; newest first.

    Where Ray does not answer, a search stands as MLflow has it.
    """
    with reading(settings.tracking_uri) as client:
        known = read_searches(client, name)
    rows, requests = known.rows, known.requests
    cache.note_states(rows.values())
    tracked = {one: row.state for one, row in rows.items()}
    asked = {one.request.name: one for one in schedule(requests, jobs or {}, tracked)}
    found = [_status(one, rows.get(one), asked.get(one), settings.storage) for one in {**asked, **rows}]
    found += [unreadable_status(one, "failed", flaw) for one, flaw in known.spoiled.items() if one not in asked]
    if jobs is None:
        found = [
            one.model_copy(update={"state": tracked.get(one.search, one.state)})
            if one.search in asked and one.state != "failed"  # which is known without Ray
            else one
            for one in found
        ]
    return sorted(found, key=lambda one: one.started or one.submitted or "", reverse=True)


def _status(name: str, row: SearchRun | None, standing: ScheduledSearch | None, storage: Path) -> SearchStatus:
    """How one search stands; what nobody thought of in its records is said of it, and of no other."""
    try:
        return build_status(name, row, standing, storage)
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError, WorkError) as error:
        logger.warning("search %r cannot be read: %s", name, error)
        phase = standing.phase if standing is not None else "failed"
        return unreadable_status(name, phase, f"its records cannot be read ({one_line(error)})")


def search_status(settings: Settings, cache: TrialCache, jobs: Jobs, name: str) -> SearchStatus:
    """One search, with its best point and its knee.

    Raises:
        RequestError: when there is none.
    """
    known = known_jobs(jobs)
    found = list_statuses(settings, cache, known, name)
    if not found:
        reason = _deleted(settings, name) or "not known; allowed: one of GET /v1/searches"
        raise Unknown(f"search {name!r}: {reason}")
    status = found[0]  # where a name was spoiled, two may seem to have it
    if status.started is None and status.state in get_args(State) and status.state != "running":
        status = status.model_copy(update={"message": status.message or _deleted(settings, name)})
    if status.started is not None:
        snapshot = cache.get(name)
        try:
            status = add_trials(status, snapshot.front_document(), snapshot.trials)
        except SpoiledRecords as error:
            status = status.model_copy(update={"message": status.message or str(error)})
    if status.state in ("failed", "queued") and status.message is None and known is not None:
        return status.model_copy(update={"message": _why(settings, jobs, known, name) or None})
    return status


def _deleted(settings: Settings, name: str) -> str | None:
    """Why MLflow gives nothing of a search that it has, if it has."""
    with reading(settings.tracking_uri) as client:
        return deleted_search(client, name)


def _why(settings: Settings, jobs: Jobs, known: Mapping[str, Job], name: str) -> str:
    """Of a failure that was not recorded, or the one after which a job is tried again."""
    with reading(settings.tracking_uri) as client:
        standing = next(iter(schedule(find_requests(client, name)[:1], known, {})), None)
    if standing is None or standing.job is None or standing.job.state != "failed":
        return ""
    said = jobs.why(standing.job)
    return said if standing.phase == "failed" else f"is tried again: {said}"
