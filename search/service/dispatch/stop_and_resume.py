"""Stop and resume searches, beside other services, dispatchers and drivers: the request that came last counts."""

from __future__ import annotations

import logging

from search.service.dispatch.adoption import adoptable_spec, stop_unmanaged
from search.service.dispatch.schedule import schedule
from search.service.dispatch.stop_marker import place_stop_marker, remove_stop_marker, storage_errors
from search.service.jobs.ray_jobs import Jobs, known_jobs
from search.service.problems import Problem
from search.service.settings import Settings
from search.storage import search_folder
from spaces.errors import RequestError, Unknown, WorkError
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import add_request, find_requests, want_run, want_stop
from tracking.mlflow_store.run_records import SearchRun, SpoiledSearch
from tracking.mlflow_store.runs import scan_searches

logger = logging.getLogger(__name__)


def stop(settings: Settings, jobs: Jobs, name: str) -> None:
    """Ask a search to stop cleanly.

    The request is recorded in MLflow first; from then on it counts, whatever else is away. A driver that is being
    submitted reads it there before it begins. For one that has begun, a dispatcher places the stop marker as soon as
    the search has a folder.

    Raises:
        Problem: when the search is finished, or cannot be stopped from here.
        RequestError: when there is none of this name.
        WorkError: when the storage or MLflow is away.
    """
    with storage_errors(settings.storage):
        finished = search_folder.is_finished(settings.storage / name)
    if finished:
        raise Problem(409, f"search {name!r}: is finished; allowed: one that waits or runs")
    with reading(settings.tracking_uri) as client:
        asked, tracked = find_requests(client, name)[:1], scan_searches(client, name)
        if not asked:
            stop_unmanaged(settings, _known(name, tracked))
            return
        want_stop(client, asked[0])
    try:
        if place_stop_marker(settings, name) or tracked:
            return
        (scheduled,) = schedule(asked, jobs.all(), {})
        if scheduled.job is not None and scheduled.job.alive:
            jobs.kill(scheduled.job.name)  # it has written nothing yet
    except (RequestError, WorkError) as error:
        logger.warning("the stop of search %s is recorded, and passed on later: %s", name, error)


def resume(settings: Settings, jobs: Jobs, name: str) -> None:
    """Ask for a stopped or failed search to run again.

    Raises:
        Problem: when the search cannot be run from here.
        RequestError: when there is none of this name, or its spec cannot be read or run.
        WorkError: when the storage or MLflow is away.
    """
    with reading(settings.tracking_uri) as client:
        asked = find_requests(client, name)[:1]
        if not asked:
            row = _known(name, scan_searches(client, name))
            if row.state != "finished":
                spec = adoptable_spec(settings, row)
                remove_stop_marker(settings, name)
                add_request(client, spec)
            return
        asked[0].readable_spec()
        (scheduled,) = schedule(asked, known_jobs(jobs) or {}, {})
        remove_stop_marker(settings, name)  # first, so that nothing has changed where the storage is away
        want_run(client, asked[0], since=scheduled.attempt)
        remove_stop_marker(settings, name)  # a dispatcher may have placed it again before the request was recorded


def _known(name: str, tracked: list[SearchRun | SpoiledSearch]) -> SearchRun:
    if not tracked:
        raise Unknown(f"search {name!r}: not known; allowed: one of GET /v1/searches")
    if isinstance(tracked[0], SpoiledSearch):
        raise WorkError(f"search {name!r}: its record cannot be read ({tracked[0].flaw})")
    return tracked[0]
