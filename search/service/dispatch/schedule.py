"""The schedule: which searches wait, run, stop or are retried, as a pure function of what MLflow and Ray report."""

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
"""Jobs of a search that may fail before it is given up; until then a driver that died is followed by another one."""

_DIGITS = 10

FIRST_SECONDS, MOST_SECONDS = 5.0, 300.0
"""Shortest and longest pause between a job that failed and the next one; it doubles with every further failure."""


@dataclass(frozen=True)
class ScheduledSearch:
    """A request for a search, with the state of its last job and of its run.

    Attributes:
        job: the job that was submitted last, unless Ray does not know it, or it ended before the last request to run.
        attempt: the number of the job that was submitted last; 0 before the first one.
        tracked: the state of the search in MLflow; None where it has not begun.
        outages: jobs since the last request to run that ended because something was away.
        not_before: when the next job may be submitted, in seconds since the epoch.
    """

    request: LaunchRequest
    job: Job | None
    attempt: int
    tracked: State | None
    outages: int = 0
    not_before: float = 0.0

    @property
    def phase(self) -> Phase:
        """The state that the service reports."""
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
        """The end after which no other job is submitted: as recorded in MLflow, else as the last job reports it."""
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
    def unrecorded_end(self) -> JobEnd | None:
        """The end that is to be recorded; None of a request that cannot be read, because another version may."""
        told = not self.request.flaw and self.request.wanted == "run" and self.phase in ("stopped", "failed")
        return self.end if told and self.end != self.request.ended else None

    @property
    def message(self) -> str | None:
        """The recorded reason of a failure."""
        if self.phase != "failed":
            return None
        return self.request.flaw or (self.end.message if self.end is not None else "") or None


def job_name(request: LaunchRequest, attempt: int) -> str:
    """Return the name of a job. It is the same for every service, so that two that submit an attempt submit one job."""
    return f"{request.name}{APART}{attempt}"


def schedule(
    requests: Iterable[LaunchRequest], jobs: Mapping[str, Job], tracked: Mapping[str, State]
) -> list[ScheduledSearch]:
    """Return every request with its last job.

    A job that a service submitted and did not count, because it died, is counted here. A job that ended before the
    last request to run is ignored.

    Args:
        jobs: every job that Ray knows, by name.
        tracked: states of searches in MLflow, by name.
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
    """Return the jobs of each search with the numbers of their attempts, the last one first."""
    found: dict[str, list[tuple[int, Job]]] = {}
    for key, job in jobs.items():
        name, _, number = key.rpartition(APART)
        if number.isascii() and number.isdigit() and len(number) <= _DIGITS:
            found.setdefault(name, []).append((int(number), job))
    return {name: sorted(of, key=itemgetter(0), reverse=True) for name, of in found.items()}


def _not_before(past: Sequence[Job]) -> float:
    """Return when another job may follow the failed ones at the end of `past`, in seconds since the epoch."""
    failed = list(takewhile(lambda one: one.state == "failed", past))
    if not failed or failed[0].ended is None:
        return 0.0
    return failed[0].ended + min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(len(failed) - 1, 30))


def due(of: Iterable[ScheduledSearch], max_running: int, now: float = math.inf) -> list[LaunchRequest]:
    """Return the requests to submit at the time `now` (seconds since the epoch), the earliest first.

    Args:
        max_running: searches that may run at once, those counted that run or stop already.
    """
    known = list(of)
    room = max_running - sum(one.phase in ("running", "stopping") for one in known)
    # Ray's clock may differ from this one: no search waits for longer than the longest pause.
    ready = [one for one in known if not now < one.not_before <= now + MOST_SECONDS]
    return [one.request for one in ready if one.phase == "queued"][: max(0, room)]
