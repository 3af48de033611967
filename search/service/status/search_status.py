"""The status of searches, read from MLflow, from the requests and from Ray."""

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
from spaces.errors import Unknown, WorkError, one_line
from spaces.trials.records import State
from tracking.documents.building import build_front
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import find_requests
from tracking.mlflow_store.run_records import SearchRun
from tracking.mlflow_store.runs import deleted_search, find_search, scan_trials

logger = logging.getLogger(__name__)


def local_status(uri: str, storage: Path, name: str) -> SearchStatus:
    """Return the status of a search as MLflow and its folder have it, without a service.

    Raises:
        RequestError: when MLflow has none of that name.
        WorkError: when MLflow fails, or the record of the search cannot be read.
    """
    with reading(uri) as client:
        row = find_search(client, name)
        trials = scan_trials(client, row)
    front = build_front(row, trials, confirmed=False, axis="trainable")
    return add_trials(build_status(name, row, None, storage), front, trials)


def list_statuses(
    settings: Settings, cache: TrialCache, jobs: Mapping[str, Job] | None, name: str | None = None
) -> list[SearchStatus]:
    """Return the status of every search that MLflow knows or the service was asked for, newest first.

    Args:
        cache: is told the states that are found, so that it drops older snapshots.
        jobs: every job of Ray; None where Ray does not answer: then a search has the state of its run in MLflow.
        name: only the searches of this name.
    """
    with reading(settings.tracking_uri) as client:
        known = read_searches(client, name)
    rows, requests = known.rows, known.requests
    cache.note_states(rows.values())
    tracked = {one: row.state for one, row in rows.items()}
    asked = {one.request.name: one for one in schedule(requests, jobs or {}, tracked)}
    found = [_status_or_flaw(one, rows.get(one), asked.get(one), settings.storage) for one in {**asked, **rows}]
    found += [unreadable_status(one, "failed", flaw) for one, flaw in known.spoiled.items() if one not in asked]
    if jobs is None:
        found = [
            one.model_copy(update={"state": tracked.get(one.search, one.state)})
            if one.search in asked and one.state != "failed"  # a failure is known without Ray
            else one
            for one in found
        ]
    return sorted(found, key=lambda one: one.started or one.submitted or "", reverse=True)


def _status_or_flaw(name: str, row: SearchRun | None, scheduled: ScheduledSearch | None, storage: Path) -> SearchStatus:
    """Return the status of one search; a value that no search writes makes this one unreadable, and no other."""
    try:
        return build_status(name, row, scheduled, storage)
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError, WorkError) as error:
        logger.warning("search %r cannot be read: %s", name, error)
        phase = scheduled.phase if scheduled is not None else "failed"
        return unreadable_status(name, phase, f"its records cannot be read ({one_line(error)})")


def search_status(settings: Settings, cache: TrialCache, jobs: Jobs, name: str) -> SearchStatus:
    """Return the status of one search, with its best point and its knee.

    Raises:
        Unknown: when there is none of this name.
        WorkError: when MLflow fails.
    """
    known = known_jobs(jobs)
    found = list_statuses(settings, cache, known, name)
    if not found:
        reason = _deleted(settings, name) or "not known; allowed: one of GET /v1/searches"
        raise Unknown(f"search {name!r}: {reason}")
    status = found[0]  # a spoiled name may be that of another search
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
    """Return how to restore a search that was deleted in MLflow; None where it was not."""
    with reading(settings.tracking_uri) as client:
        return deleted_search(client, name)


def _why(settings: Settings, jobs: Jobs, known: Mapping[str, Job], name: str) -> str:
    """Return why the last job failed, where that is not recorded yet; empty where it did not fail."""
    with reading(settings.tracking_uri) as client:
        scheduled = next(iter(schedule(find_requests(client, name)[:1], known, {})), None)
    if scheduled is None or scheduled.job is None or scheduled.job.state != "failed":
        return ""
    said = jobs.why(scheduled.job)
    return said if scheduled.phase == "failed" else f"is tried again: {said}"
