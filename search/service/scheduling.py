"""Which searches run, wait, stop or are taken up again: a function of what MLflow and Ray say, with no memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from search.service.documents import Phase
from search.service.jobs import APART, Job
from spaces.records import State
from tracking.requests import End, Request

ATTEMPTS = 5
"""Jobs that may fail in a row before a search is given up: a driver that died is followed by another one."""

WRONG_REQUEST = 2
GIVEN_UP = 3
"""With which a driver ends whose search would only fail again."""


@dataclass(frozen=True)
class Standing:
    """How a search stands: its request, the job that was submitted last, which one that is, and what MLflow has."""

    request: Request
    job: Job | None
    attempt: int
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
        if self.request.spec is None:
            return "failed"
        return "queued" if self.end is None else self.end.state

    @property
    def end(self) -> End | None:
        """How it ended, where another job would not help: as was recorded, for Ray forgets, or as the last job says."""
        known = self.request.ended
        if known is not None and known.attempt > self.request.since:
            return known
        if self.job is None or self.job.alive:
            return None
        if self.job.state == "succeeded":
            return End(self.attempt, "stopped")  # by a limit of its own: of time, or of steps
        if self.job.code in (WRONG_REQUEST, GIVEN_UP) or self.attempt - self.request.since >= ATTEMPTS:
            return End(self.attempt, "failed")
        return None

    @property
    def news(self) -> End | None:
        """An end that is to be recorded."""
        told = self.request.wanted == "run" and self.phase in ("stopped", "failed")
        return self.end if told and self.end != self.request.ended else None

    @property
    def message(self) -> str | None:
        """Why it failed, as far as that was recorded."""
        if self.phase != "failed":
            return None
        return self.request.flaw or (self.end.message if self.end is not None else "") or None


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
        found.append(Standing(one, job, attempt, tracked.get(one.name)))
    return found


def due(of: Iterable[Standing], max_running: int) -> list[Request]:
    """The requests to submit now, those that were made first before others, as far as there is room."""
    known = list(of)
    room = max_running - sum(one.phase in ("running", "stopping") for one in known)
    return [one.request for one in known if one.phase == "queued"][: max(0, room)]
