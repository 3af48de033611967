"""Submits what is due, over and over. Any number of services may do so at once, and any of them may die.

What MLflow says is to stop is told to drivers that began meanwhile; how jobs ended is told to MLflow, for Ray forgets.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from search.service.jobs import Job, Jobs
from search.service.marks import pass_on_stop
from search.service.scheduling import due, job_name, standings
from search.service.settings import Settings, job_options
from spaces.errors import RequestError, WorkError
from tracking.client import reading
from tracking.requests import End, count_attempt, find_requests, keep_end
from tracking.rows import list_searches

SECONDS = 5.0
MODULE = "search.service.driver"

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
        """Go on through every outage of MLflow and of Ray."""
        while not self._ended.is_set():
            try:
                dispatch(self._settings, self._jobs)
            except (RequestError, WorkError) as error:
                logger.warning("not everything is passed on for now: %s", error)
            except Exception:
                logger.exception("not everything is passed on for now")
            self._changed.wait(SECONDS)
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
        WorkError: when MLflow, Ray or the storage fails.
    """
    with reading(settings.tracking_uri) as client:
        requests = find_requests(client)
        tracked = {row.name: row.state for row in reversed(list_searches(client))}
        known = standings(requests, jobs.all(), tracked)
        for one in due(known, settings.max_running):
            attempt = one.attempts + 1
            jobs.submit(job_name(one, attempt), MODULE, [one.name, *job_options(settings)])
            count_attempt(client, one, attempt)
        for standing in known:
            if (end := standing.news) is not None:
                if standing.attempt > standing.request.attempts:  # submitted by a service that died
                    count_attempt(client, standing.request, standing.attempt)
                keep_end(client, standing.request, _explained(end, standing.job, jobs))
    for standing in known:
        if standing.phase == "stopping":
            pass_on_stop(settings, standing.request.name)


def _explained(end: End, job: Job | None, jobs: Jobs) -> End:
    """With the reason of a failure, which a cluster that is lost takes with it."""
    return replace(end, message=jobs.why(job)[:_CHARACTERS]) if end.state == "failed" and job is not None else end
