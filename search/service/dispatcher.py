"""Submits what is due, over and over. Any number of services may do so at once, and any of them may die."""

from __future__ import annotations

import logging
import threading

from search.service.jobs import Jobs
from search.service.scheduling import due, job_name, standings
from search.service.settings import Settings
from spaces.errors import RequestError, WorkError
from tracking.client import reading
from tracking.requests import count_attempt, find_requests
from tracking.rows import list_searches

SECONDS = 5.0
MODULE = "search.service.driver"

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
                logger.warning("nothing is submitted for now: %s", error)
            except Exception:
                logger.exception("nothing is submitted for now")
            self._changed.wait(SECONDS)
            self._changed.clear()

    def look(self) -> None:
        """Something changed."""
        self._changed.set()

    def end(self) -> None:
        """Stop looking; jobs go on."""
        self._ended.set()
        self._changed.set()


def dispatch(settings: Settings, jobs: Jobs) -> list[str]:
    """Submit the searches that are due; gives their names.

    Raises:
        RequestError: when MLflow does not answer.
        WorkError: when MLflow or Ray fails.
    """
    with reading(settings.tracking_uri) as client:
        requests = find_requests(client)
        tracked = {row.name: row.state for row in reversed(list_searches(client))}
        ready = due(standings(requests, jobs.all(), tracked), settings.max_running)
        for one in ready:
            attempt = one.attempts + 1
            arguments = [one.name, "--storage", str(settings.storage), "--tracking-uri", settings.tracking_uri]
            jobs.submit(job_name(one, attempt), MODULE, arguments)
            count_attempt(client, one, attempt)
    return [one.name for one in ready]
