"""Which searches run, wait, stop or are taken up again: a function of what MLflow and Ray say, with no memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import itemgetter

from search.documents.service import Phase
from search.service.jobs.exit_codes import AWAY, GIVEN_UP, WRONG_REQUEST
from search.service.jobs.ray_jobs import APART, Job
from spaces.trials.records import State
from tracking.mlflow_store.launch_requests import JobEnd, LaunchRequest

ATTEMPTS = 5
"""Jobs that may fail before a search is given up: a driver that died is followed by another one."""

_DIGITS = 10

FIRST_SECONDS, MOST_SECONDS = 5.0, 300.0
"""Between a job that failed and the next one; twice as long after every further one that failed."""


@dataclass(frozen=True)
class ScheduledSearch:
    """How a search stands: its request, the job that was submitted last, which one that is, and what MLflow has.

    `outages`: jobs since it was asked for that ended because something was away. `not_before`: when the next one may be
    submitted, in seconds since the epoch.
    """

    request: LaunchRequest
    job: Job | None
    attempt: int
    tracked: State | None
    outages: int = 0
    not_before: float = 0.0

    @property
    def phase(self) -> Phase:
        """What is to be said of it."""
        if self.tracked == "finished":
            return "finished"
        if self.job is not None and self.job.alive:
            return "stopping" if self.request.wanted == "stop" else "running"
        if self.request.wanted == "stop":
            return "stopped"
        if self.request.spec is None:
            return "failed"
        return "queued" if self.end is None else self.end.state

    @property
    def end(self) -> JobEnd | None:
        """How it ended, where another job would not help: as was recorded, for Ray forgets, or as the last job says."""
        known = self.request.ended
        if known is not None and known.attempt > self.request.since:
            return known
        if self.job is None or self.job.alive:
            return None
        if self.job.state == "succeeded":
            return JobEnd(self.attempt, "stopped")  # by a limit of its own: of time, or of steps
        if self.job.code == AWAY:
            return None
        spent = self.attempt - self.request.since - self.outages
        if self.job.code in (WRONG_REQUEST, GIVEN_UP) or spent >= ATTEMPTS:
            return JobEnd(self.attempt, "failed")
        return None

    @property
    def news(self) -> JobEnd | None:
        """An end that is to be recorded; none of what this version cannot read, for another one may."""
        told = not self.request.flaw and self.request.wanted == "run" and self.phase in ("stopped", "failed")
        return self.end if told and self.end != self.request.ended else None

    @property
    def message(self) -> str | None:
        """Why it failed, as far as that was recorded."""
        if self.phase != "failed":
            return None
        return self.request.flaw or (self.end.message if self.end is not None else "") or None


def job_name(request: LaunchRequest, attempt: int) -> str:
    """The name of a job: two services that submit the same attempt submit one job."""
    return f"{request.name}{APART}{attempt}"


def schedule(
    requests: Iterable[LaunchRequest], jobs: Mapping[str, Job], tracked: Mapping[str, State]
) -> list[ScheduledSearch]:
    """Every request with its last job.

    A job that was submitted and not counted yet, by a service that died, counts. One that ended before the search was
    asked for again says nothing.
    """
    found = []
    numbered = _numbered(jobs)
    for one in requests:
        attempt = one.attempts + (job_name(one, one.attempts + 1) in jobs)
        job = jobs.get(job_name(one, attempt))
        if job is not None and not job.alive and attempt <= one.since:
            job = None
        past = [known for number, known in numbered.get(one.name, ()) if one.since < number <= attempt]
        outages = sum(earlier.code == AWAY for earlier in past)
        found.append(ScheduledSearch(one, job, attempt, tracked.get(one.name), outages, _not_before(past)))
    return found


def _numbered(jobs: Mapping[str, Job]) -> dict[str, list[tuple[int, Job]]]:
    """The jobs of each search with the numbers of their attempts, the last one first."""
    found: dict[str, list[tuple[int, Job]]] = {}
    for key, job in jobs.items():
        name, _, number = key.rpartition(APART)
        if number.isascii() and number.isdigit() and len(number) <= _DIGITS:
            found.setdefault(name, []).append((int(number), job))
    return {name: sorted(of, key=itemgetter(0), reverse=True) for name, of in found.items()}


def _not_before(past: Sequence[Job]) -> float:
    """When another job may follow those that failed one after the other."""
    failed = list(takewhile(lambda one: one.state == "failed", past))
    if not failed or failed[0].ended is None:
        return 0.0
    return failed[0].ended + min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(len(failed) - 1, 30))


def due(of: Iterable[ScheduledSearch], max_running: int, now: float = math.inf) -> list[LaunchRequest]:
    """The requests to submit at a moment, those that were made first before others, as far as there is room."""
    known = list(of)
    room = max_running - sum(one.phase in ("running", "stopping") for one in known)
    # Ray's clock may be another one: nobody waits for longer than the longest pause.
    ready = [one for one in known if not now < one.not_before <= now + MOST_SECONDS]
    return [one.request for one in ready if one.phase == "queued"][: max(0, room)]
