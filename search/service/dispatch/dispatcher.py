"""Submits what is due, over and over. Any number of services may do so at once, and any of them may die.

What MLflow says is to stop is told to drivers that began meanwhile; how jobs ended is told to MLflow, for Ray forgets.
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
"""Between two looks; at most, while MLflow or Ray is away."""

MODULE = "search.service.jobs.search_job"

# A tag holds 8,000 characters at most, and a character may take six of them.
_CHARACTERS = 1_000

logger = logging.getLogger(__name__)


class Dispatcher(threading.Thread):
    """Looks every few seconds, and at once when it is told that something changed."""

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._settings = settings
        self._jobs = jobs
        self._changed = threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        """Go on through every outage of MLflow and of Ray, more slowly the longer it lasts."""
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
        """Something changed."""
        self._changed.set()

    def end(self) -> None:
        """Stop looking; jobs go on."""
        self._ended.set()
        self._changed.set()


def dispatch(settings: Settings, jobs: Jobs) -> None:
    """Submit the searches that are due, and pass on what the others are to know.

    Raises:
        RequestError: when MLflow does not answer.
        WorkError: when MLflow or Ray fails. What goes wrong with one search keeps none of the others.
    """
    with reading(settings.tracking_uri) as client:
        known = read_searches(client)
        tracked = {name: row.state for name, row in known.rows.items()}
        to_stop = [one.name for one in known.requests if one.wanted == "stop"]
        _pass_on_stops(settings, [name for name in to_stop if tracked.get(name) == "running"])  # whatever Ray says
        standing = schedule(known.requests, jobs.all(), tracked)
        for request in due(standing, settings.max_running, time.time()):
            with _alone(request.name):
                _submit(settings, jobs, client, request)
        for one in standing:
            with _alone(one.request.name):
                _keep_news(jobs, client, one)
        submit_exports(settings, jobs, client)
    _pass_on_stops(settings, [one.request.name for one in standing if one.phase == "stopping"])


def _pass_on_stops(settings: Settings, names: list[str]) -> None:
    """Tell those who run these searches."""
    for name in names:
        with _alone(name):
            place_stop_marker(settings, name)


def _submit(settings: Settings, jobs: Jobs, client: MlflowClient, request: LaunchRequest) -> None:
    attempt = request.attempts + 1
    jobs.submit(job_name(request, attempt), MODULE, [request.name, *job_options(settings)])
    record_attempt(client, request, attempt)


def _keep_news(jobs: Jobs, client: MlflowClient, standing: ScheduledSearch) -> None:
    if (end := standing.news) is None:
        return
    if standing.attempt > standing.request.attempts:  # submitted by a service that died
        record_attempt(client, standing.request, standing.attempt)
    record_end(client, standing.request, _explained(end, standing.job, jobs))


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Have what goes wrong with one search keep none of the others: it is tried again, with all of them."""
    try:
        yield
    except (RequestError, WorkError) as error:
        logger.warning("search %s is not passed on for now: %s", name, error)
    except Exception:
        logger.exception("search %s is not passed on for now", name)


def _explained(end: JobEnd, job: Job | None, jobs: Jobs) -> JobEnd:
    """With the reason of a failure, which a cluster that is lost takes with it."""
    return replace(end, message=jobs.why(job)[:_CHARACTERS]) if end.state == "failed" and job is not None else end
