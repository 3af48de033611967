"""Which searches run, wait, stop or are taken up again: a function of what MLflow and Ray say, with no memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from search.service.documents import Phase
from search.service.jobs import APART, Job
from spaces.records import State
from tracking.requests import Request

ATTEMPTS = 5
"""Jobs that may fail in a row before a search is given up: a driver that died is followed by another one."""

WRONG_REQUEST = 2


@dataclass(frozen=True)
class Standing:
    """How a search stands: its request, the job that was submitted last, and what MLflow has of it."""

    request: Request
    job: Job | None
    tracked: State | None

    @property
    def phase(self) -> Phase:
        """What is to be said of it."""
        if self.tracked == "finished":
            return "finished"
        if self.job is not None and self.job.alive:
            return "stopping" if self.request.wanted == "stop" else "running"
        if self.request.wanted == "stop":
            return "stopped"
        if self.job is not None and self.job.state == "succeeded":
            return "stopped"  # by a limit of its own: of time, or of steps
        if self.given_up:
            return "failed"
        return "queued"

    @property
    def given_up(self) -> bool:
        """Whether another job would not help."""
        if self.job is None:
            return False
        return self.job.code == WRONG_REQUEST or self.request.attempts - self.request.since >= ATTEMPTS


def job_name(request: Request, attempt: int) -> str:
    """The name of a job: two services that submit the same attempt submit one job."""
    return f"{request.name}{APART}{attempt}"


def standings(requests: Iterable[Request], jobs: Mapping[str, Job], tracked: Mapping[str, State]) -> list[Standing]:
    """Every request with its last job.

    A job that was submitted and not counted yet, by a service that died, counts. One that ended before the search was
    asked for again says nothing.
    """
    found = []
    for one in requests:
        attempt = one.attempts + (job_name(one, one.attempts + 1) in jobs)
        job = jobs.get(job_name(one, attempt))
        if job is not None and not job.alive and attempt <= one.since:
            job = None
        found.append(Standing(one, job, tracked.get(one.name)))
    return found


def due(of: Iterable[Standing], max_running: int) -> list[Request]:
    """The requests to submit now, those that were made first before others, as far as there is room."""
    known = list(of)
    room = max_running - sum(one.phase in ("running", "stopping") for one in known)
    return [one.request for one in known if one.phase == "queued"][: max(0, room)]
