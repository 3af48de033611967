"""The dispatcher: a thread that submits the jobs that are due, every few seconds.

Any number of services may dispatch at once, and any of them may die. The dispatcher also places the stop markers that
MLflow asks for, and records in MLflow how jobs ended, because Ray forgets its jobs with the cluster.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from search.service.dispatch.known_searches import read_searches
from search.service.dispatch.schedule import ScheduledSearch, due, job_name, schedule
from search.service.dispatch.stop_marker import place_stop_marker
from search.service.jobs.exports import submit_due as submit_exports
from search.service.jobs.ray_jobs import Job, Jobs
from search.service.settings import Settings, job_options
from spaces.errors import RequestError, WorkError
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import JobEnd, LaunchRequest, record_attempt, record_end

if TYPE_CHECKING:
    from tracking.mlflow_store.client import MlflowClient

SECONDS, MOST_SECONDS = 5.0, 40.0
"""Pause between two passes, and the longest one while MLflow or Ray is away."""

MODULE = "search.service.jobs.search_job"

# A tag of MLflow holds at most 8,000 characters, and one of ours may take six of them when it is escaped.
_CHARACTERS = 1_000

logger = logging.getLogger(__name__)


class Dispatcher(threading.Thread):
    """Dispatch every few seconds, and at once after `look`."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._settings = settings
        self._jobs = jobs
        self._changed = threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        """Dispatch until `end`; outages of MLflow and Ray lengthen the pauses."""
        pause = SECONDS
        while not self._ended.is_set():
            try:
                dispatch(self._settings, self._jobs)
                pause = SECONDS
            except (RequestError, WorkError) as error:
                logger.warning("not everything is passed on for now: %s", error)
                pause = min(MOST_SECONDS, 2 * pause)
            except Exception:
                logger.exception("not everything is passed on for now")
                pause = min(MOST_SECONDS, 2 * pause)
            self._changed.wait(pause)
            self._changed.clear()

    def look(self) -> None:
        """Dispatch now, because something changed."""
        self._changed.set()

    def end(self) -> None:
        """Stop dispatching; jobs go on."""
        self._ended.set()
        self._changed.set()


def dispatch(settings: Settings, jobs: Jobs) -> None:
    """Submit the searches and exports that are due, place stop markers, and record how jobs ended.

    An error of one search is logged, and does not affect the others.

    Raises:
        RequestError: when MLflow does not answer.
        WorkError: when MLflow or Ray fails.
    """
    with reading(settings.tracking_uri) as client:
        known = read_searches(client)
        tracked = {name: row.state for name, row in known.rows.items()}
        to_stop = [one.name for one in known.requests if one.wanted == "stop"]
        _place_stop_markers(settings, [name for name in to_stop if tracked.get(name) == "running"])  # without Ray too
        searches = schedule(known.requests, jobs.all(), tracked)
        for request in due(searches, settings.max_running, time.time()):
            with _logged(request.name):
                _submit(settings, jobs, client, request)
        for one in searches:
            with _logged(one.request.name):
                _record_end(jobs, client, one)
        submit_exports(settings, jobs, client)
    _place_stop_markers(settings, [one.request.name for one in searches if one.phase == "stopping"])


def _place_stop_markers(settings: Settings, names: list[str]) -> None:
    for name in names:
        with _logged(name):
            place_stop_marker(settings, name)


def _submit(settings: Settings, jobs: Jobs, client: MlflowClient, request: LaunchRequest) -> None:
    attempt = request.attempts + 1
    jobs.submit(job_name(request, attempt), MODULE, [request.name, *job_options(settings)])
    record_attempt(client, request, attempt)


def _record_end(jobs: Jobs, client: MlflowClient, search: ScheduledSearch) -> None:
    if (end := search.unrecorded_end) is None:
        return
    if search.attempt > search.request.attempts:  # submitted by a service that died
        record_attempt(client, search.request, search.attempt)
    record_end(client, search.request, _explained(end, search.job, jobs))


@contextmanager
def _logged(name: str) -> Iterator[None]:
    """Log an error of one search instead of raising it, so that the others are dispatched; the next pass retries."""
    try:
        yield
    except (RequestError, WorkError) as error:
        logger.warning("search %s is not passed on for now: %s", name, error)
    except Exception:
        logger.exception("search %s is not passed on for now", name)


def _explained(end: JobEnd, job: Job | None, jobs: Jobs) -> JobEnd:
    """Return the end with the reason of a failure, which is lost with the cluster."""
    return replace(end, message=jobs.why(job)[:_CHARACTERS]) if end.state == "failed" and job is not None else end
