"""Searches and exports as Ray Jobs: submit, list and kill them, and say why one failed."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import requests
from ray._private.authentication.authentication_token_setup import (
    AUTH_MODE_ENV_VAR,
    maybe_enable_token_auth_if_token_available,
)
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobStatus, JobSubmissionClient

from search.command_process import last_complaint
from spaces.errors import WorkError, one_line

ANSWER_SECONDS = 10.0
PREFIX = "paretune-"
APART = "~"
"""Separates the parts of a job's name; a search's name cannot hold it."""

# Variables of the service's environment that a driver needs. Ray shows them with the job, so no secrets here.
_PASSED_ON = ("HF_HUB_OFFLINE", "OMP_NUM_THREADS")

# Errors of Ray's client; it raises the last two when something other than Ray answers.
_FAILURES = (RuntimeError, ConnectionError, requests.RequestException, RayError, ValueError, LookupError)

JobState = Literal["waiting", "running", "stopped", "succeeded", "failed"]
_STATES: dict[JobStatus, JobState] = {
    JobStatus.PENDING: "waiting",
    JobStatus.RUNNING: "running",
    JobStatus.STOPPED: "stopped",
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
}


@dataclass(frozen=True)
class Job:
    """A job as Ray knows it.

    Attributes:
        code: the exit code of its command; None while it runs.
        message: Ray's own words on its state.
        ended: when it ended, in seconds since the epoch.
    """

    name: str
    state: JobState
    code: int | None = None
    message: str = ""
    ended: float | None = None

    @property
    def alive(self) -> bool:
        """True while the job waits or runs."""
        return self.state in ("waiting", "running")


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's client with a time limit: without one it waits for ever on a head that never answers."""

    def _do_request(self, method: str, endpoint: str, **kwargs: Any) -> requests.Response:
        answer: requests.Response = super()._do_request(method, endpoint, timeout=ANSWER_SECONDS, **kwargs)
        return answer


class Jobs:
    """The jobs of one cluster, by the names under which they were submitted.

    Raises:
        WorkError: from every method but `why`, when Ray does not answer.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connected: JobSubmissionClient | None = None

    def submit(self, name: str, module: str, arguments: Sequence[str]) -> bool:
        """Run `python -m module arguments` on the head node; return False when a job of that name exists."""
        command = shlex.join([sys.executable, "-m", module, *arguments])
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        try:
            self._client().submit_job(
                entrypoint=command, submission_id=PREFIX + name, runtime_env={"env_vars": environment}
            )
        except _FAILURES as error:
            if self.find(name) is not None:  # it existed before, or was submitted now and Ray's answer was lost
                return False
            raise self._failed(error) from error
        return True

    def all(self) -> dict[str, Job]:
        """Return every job of paretune that this cluster has had, by name."""
        try:
            found = self._client().list_jobs()
        except _FAILURES as error:
            raise self._failed(error) from error
        named = {one.submission_id: one for one in found if (one.submission_id or "").startswith(PREFIX)}
        return {key.removeprefix(PREFIX): _job(key.removeprefix(PREFIX), one) for key, one in named.items()}

    def find(self, name: str) -> Job | None:
        """Return the job of that name; None when this cluster never had it."""
        return self.all().get(name)

    def kill(self, name: str) -> None:
        """End a job; one that has ended already is left as it is."""
        try:
            self._client().stop_job(PREFIX + name)
        except _FAILURES as error:
            raise self._failed(error) from error

    def why(self, job: Job) -> str:
        """Return why a job failed, in one line: its last error line, else what Ray reports, which may lack the log."""
        try:
            said: str = self._client().get_job_logs(PREFIX + job.name)
        except _FAILURES:
            said = ""
        return one_line(last_complaint(said) or _reason(job))

    def _client(self) -> JobSubmissionClient:
        """Return Ray's client, made at the first call.

        Like `ray start`, it uses the token of this machine where there is one, unless `RAY_AUTH_MODE` says otherwise.
        """
        if self._connected is None:
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
            self._connected = _Client(self._address)
        return self._connected

    def _failed(self, error: BaseException) -> WorkError:
        if isinstance(error, AuthenticationError):
            # The cluster may have been restarted with another token, or with one for the first time.
            self._connected = None
            AuthenticationTokenLoader.instance().reset_cache()
            return WorkError(
                f"Ray at {self._address}: takes another token than the service has; allowed: {AUTH_MODE_ENV_VAR}=token "
                "with the cluster's token in RAY_AUTH_TOKEN or ~/.ray/auth_token"
            )
        return WorkError(f"Ray at {self._address}: {one_line(error)}")


def known_jobs(jobs: Jobs) -> Mapping[str, Job] | None:
    """Return every job; None while Ray does not answer, so that a caller can go on with what MLflow has."""
    try:
        return jobs.all()
    except WorkError:
        return None


def _job(name: str, details: Any) -> Job:
    # A state that only a later Ray has counts as running, because its meaning is not known here.
    state = _STATES.get(details.status, "running")
    ended = None if details.end_time is None else details.end_time / 1000
    return Job(name, state, details.driver_exit_code, details.message or "", ended)


def _reason(job: Job) -> str:
    """Return Ray's message on a job without the end of its log, which follows the first line."""
    if job.code is not None and job.code < 0:
        return f"its process was killed ({_signal(-job.code)})"
    said, _, _ = job.message.partition("\n")
    return said.partition(", last available logs")[0] or "it ended without a word"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
