"""Services that come and go, jobs that die and clusters that are lost: every search runs once at a time, and ends."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.service.dispatch.schedule import ATTEMPTS, ScheduledSearch, due, job_name, schedule
from search.service.jobs.exit_codes import GIVEN_UP, WRONG_REQUEST
from search.service.jobs.ray_jobs import Job, JobState
from spaces.trials.records import State
from tests.search.service.dispatch.requested import request
from tracking.mlflow_store.launch_requests import JobEnd, LaunchRequest

LIMITED, FAILED = JobEnd(1, "stopped"), JobEnd(1, "failed", "nothing is there")
UNREADABLE = replace(request("a"), spec=None, flaw="its spec cannot be read (name: missing)")


def job(state: JobState, code: int | None = None) -> Job:
    return Job("job", state, code)


@pytest.mark.parametrize(
    ("asked", "last", "tracked", "phase"),
    [
        (request("a"), None, None, "queued"),
        (request("a", attempts=1), job("waiting"), None, "running"),
        (request("a", attempts=1), job("running"), "running", "running"),
        (request("a", attempts=1, wanted="stop"), job("running"), "running", "stopping"),
        (request("a", attempts=1, wanted="stop"), job("succeeded", 0), "stopped", "stopped"),
        (request("a", wanted="stop"), None, None, "stopped"),
        (request("a", attempts=1), job("succeeded", 0), "finished", "finished"),
        (request("a", attempts=1), job("succeeded", 0), "stopped", "stopped"),  # by its time limit
        (request("a", attempts=1), job("failed", 1), "stopped", "queued"),  # the head died
        (request("a", attempts=1), job("failed"), "running", "queued"),  # the driver was killed
        (request("a", attempts=1), None, "running", "queued"),  # the cluster was lost
        (request("a", attempts=1), job("failed", WRONG_REQUEST), None, "failed"),
        (request("a", attempts=1), job("failed", GIVEN_UP), "failed", "failed"),
        (request("a", attempts=1, ended=FAILED), None, "failed", "failed"),
        (request("a", attempts=1, since=1, ended=FAILED), None, "failed", "queued"),  # it was mended
        (request("a", attempts=ATTEMPTS), job("failed", 1), "stopped", "failed"),
        (request("a", attempts=ATTEMPTS + 1, since=ATTEMPTS), job("failed", 1), "stopped", "queued"),
        (
            request("a", attempts=1, wanted="stop"),
            job("failed", 1),
            None,
            "stopped",
        ),  # it found that, and did not begin
        (request("a", attempts=1), job("failed", 1), None, "queued"),  # likewise, and was asked for again since
        # The cluster was lost after it had ended.
        (request("a", attempts=1, ended=LIMITED), None, "stopped", "stopped"),
        (request("a", attempts=1, ended=FAILED), None, None, "failed"),
        (request("a", attempts=1, ended=FAILED), None, "finished", "finished"),
        (request("a", attempts=1, since=1, ended=LIMITED), None, "stopped", "queued"),  # asked for again
        (request("a", attempts=2, since=1, ended=LIMITED), job("running"), "running", "running"),
        (UNREADABLE, None, None, "failed"),
        (UNREADABLE, None, "finished", "finished"),
        (replace(UNREADABLE, attempts=1), job("running"), "running", "running"),  # by an earlier version
        (replace(UNREADABLE, attempts=1), job("failed"), "running", "failed"),
    ],
)
def test_phases(asked: LaunchRequest, last: Job | None, tracked: State | None, phase: str) -> None:
    standing = ScheduledSearch(asked, last, asked.attempts, tracked)
    assert standing.phase == phase
    assert [one.name for one in due([standing], 1)] == (["a"] if phase == "queued" else [])


@pytest.mark.parametrize(
    ("asked", "last", "tracked", "end"),
    [
        (request("a", attempts=1), job("succeeded", 0), "stopped", LIMITED),
        (request("a", attempts=1), job("succeeded", 0), "finished", None),
        (request("a", attempts=1, ended=LIMITED), job("succeeded", 0), "stopped", None),
        (request("a", attempts=1, wanted="stop"), job("succeeded", 0), "stopped", None),
        (request("a", attempts=1), job("failed", WRONG_REQUEST), None, JobEnd(1, "failed")),
        (request("a", attempts=1, ended=FAILED), job("failed", WRONG_REQUEST), None, None),
        (request("a", attempts=2, since=1, ended=FAILED), job("failed", WRONG_REQUEST), None, JobEnd(2, "failed")),
        (request("a", attempts=ATTEMPTS), job("failed"), "running", JobEnd(ATTEMPTS, "failed")),
        (request("a", attempts=1), job("failed"), "running", None),
        (request("a", attempts=1), None, "running", None),
    ],
)
def test_an_end_is_recorded_once(
    asked: LaunchRequest, last: Job | None, tracked: State | None, end: JobEnd | None
) -> None:
    assert ScheduledSearch(asked, last, asked.attempts, tracked).unrecorded_end == end


def test_why_it_failed_is_said_as_it_was_recorded() -> None:
    assert ScheduledSearch(request("a", attempts=1, ended=FAILED), None, 1, None).message == "nothing is there"
    assert ScheduledSearch(UNREADABLE, None, 0, None).message == "its spec cannot be read (name: missing)"
    assert ScheduledSearch(request("a", attempts=1), job("failed", WRONG_REQUEST), 1, None).message is None  # not yet
    assert ScheduledSearch(request("a", attempts=1, ended=FAILED), None, 1, "finished").message is None


def test_what_was_asked_for_first_runs_first_as_far_as_there_is_room() -> None:
    asked = [request(name, submitted) for submitted, name in enumerate("abcd")]
    jobs = {"b~1": job("running")}
    known = schedule([asked[0], replace(asked[1], attempts=1), *asked[2:]], jobs, {})
    assert [one.name for one in due(known, 1)] == []
    assert [one.name for one in due(known, 3)] == ["a", "c"]


def test_a_job_that_was_submitted_and_not_counted_is_the_last_one() -> None:
    (standing,) = schedule([request("a")], {"a~1": job("running")}, {})
    assert (standing.phase, standing.attempt) == ("running", 1)


def test_an_earlier_job_says_nothing_of_a_search_that_was_asked_for_again() -> None:
    again = request("a", attempts=2, since=2)
    assert schedule([again], {"a~2": job("succeeded", 0)}, {"a": "stopped"})[0].phase == "queued"
    assert schedule([again], {"a~2": job("running")}, {"a": "running"})[0].phase == "running"


class World:
    """MLflow and Ray as far as they matter here, driven at random; several services look on, each at its own pace.

    `over`: searches whose end was recorded, which must not begin again, whatever Ray forgets.
    """

    def __init__(self, seed: int, searches: int, max_running: int) -> None:
        self.random = random.Random(seed)
        self.max_running = max_running
        self.requests = {f"s{number}": request(f"s{number}", number) for number in range(searches)}
        self.jobs: dict[str, Job] = {}
        self.tracked: dict[str, State] = {}
        self.work = dict.fromkeys(self.requests, 3)
        self.over: set[str] = set()

    def dispatch(self) -> None:
        known = schedule(self.requests.values(), dict(self.jobs), self.tracked)
        for one in due(known, self.max_running):
            assert one.name not in self.over
            self.submit(one)
        for standing in known:
            if standing.unrecorded_end is not None and self.random.random() < 0.8:  # else the service dies before
                one = standing.request
                self.requests[one.name] = replace(one, attempts=standing.attempt, ended=standing.unrecorded_end)
                self.over.add(one.name)

    def submit(self, one: LaunchRequest) -> None:
        name = job_name(one, one.attempts + 1)
        if name not in self.jobs:  # Ray refuses a name that exists
            self.jobs[name] = job("running")
        if self.random.random() < 0.8:  # else the service dies before it counts
            self.requests[one.name] = replace(one, attempts=one.attempts + 1)

    def alive(self, name: str) -> list[str]:
        return [key for key, one in self.jobs.items() if one.alive and key.rpartition("~")[0] == name]

    def step(self, quiet: bool) -> None:
        """A driver works, dies, or the whole cluster is lost with all that it knew."""
        for name in self.requests:
            for key in self.alive(name):
                if not quiet and self.random.random() < 0.1:
                    self.jobs[key] = job("failed", self.random.choice([None, 1, WRONG_REQUEST]))
                    continue
                if not quiet and self.random.random() < 0.05:  # by its time limit
                    self.jobs[key], self.tracked[name] = job("succeeded", 0), "stopped"
                    continue
                self.tracked[name] = "running"
                self.work[name] -= 1
                if self.work[name] <= 0:
                    self.jobs[key], self.tracked[name] = job("succeeded", 0), "finished"
        if not quiet and self.random.random() < 0.05:
            self.jobs.clear()


@given(seed=st.integers(0, 10**6), searches=st.integers(1, 5), max_running=st.integers(1, 3))
def test_every_search_runs_once_at_a_time_and_comes_to_its_end(seed: int, searches: int, max_running: int) -> None:
    world = World(seed, searches, max_running)
    for turn in range(200):
        world.dispatch()
        if world.random.random() < 0.5:  # another service, at once
            world.dispatch()
        assert all(len(world.alive(name)) <= 1 for name in world.requests)
        assert sum(len(world.alive(name)) for name in world.requests) <= max_running
        world.step(quiet=turn >= 30)
    phases = {one.request.name: one.phase for one in schedule(world.requests.values(), world.jobs, world.tracked)}
    assert set(phases.values()) <= {"finished", "failed", "stopped"}
    for name, phase in phases.items():
        assert phase == "finished" or name in world.over
