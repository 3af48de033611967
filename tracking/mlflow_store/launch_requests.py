"""Requests for searches to a service, kept in MLflow: the spec, whether it is to run or stop, and its jobs so far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Literal

from cachetools import LRUCache, cached
from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError

from spaces.errors import RequestError, WorkError, one_line
from spaces.spec.spec import SearchSpec, parse_spec
from tracking.mlflow_store import tags
from tracking.mlflow_store.client import ensure_experiment
from tracking.mlflow_store.run_records import SEARCH_NAME, name_of, started_of
from tracking.mlflow_store.runs import runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Wanted = Literal["run", "stop"]

KIND = "request"
EXPERIMENT = "paretune-requests"
SPEC = "paretune.spec"
WANTED = "paretune.wanted"
ATTEMPTS = "paretune.attempts"
SINCE = "paretune.since"
ENDED = "paretune.ended"

# A tag of MLflow holds at most 8,000 characters, so a long spec is split into several.
_CHARACTERS = 4_000

MAX_CHARACTERS = 200_000
"""Limit of a spec as JSON: every listing reads the specs of all requests that MLflow ever had."""

_MANY = 10**9
_PARSED = 256


@dataclass(frozen=True)
class JobEnd:
    """The final end of an unfinished search by its job `attempt`: stopped by a limit of its own, or failed for good."""

    attempt: int
    state: Literal["stopped", "failed"]
    message: str = ""


@dataclass(frozen=True)
class LaunchRequest:
    """A request for a search.

    Attributes:
        spec: None where it cannot be read; `flaw` then says why.
        submitted: milliseconds since the epoch.
        wanted: whether the search is to run or to stop.
        attempts: jobs that were submitted for it so far.
        since: the jobs of those that were submitted before the last request to run.
        ended: the recorded end, which Ray may have forgotten; obsolete once the search was asked for again.
    """

    run_id: str
    name: str
    spec: SearchSpec | None
    submitted: int
    wanted: Wanted = "run"
    attempts: int = 0
    since: int = 0
    ended: JobEnd | None = None
    flaw: str = ""

    def readable_spec(self) -> SearchSpec:
        """Return the spec.

        Raises:
            RequestError: when it cannot be read.
        """
        if self.spec is None:
            raise RequestError(f"search {self.name!r}: {self.flaw}")
        return self.spec


def add_request(client: MlflowClient, spec: SearchSpec) -> tuple[LaunchRequest, bool]:
    """Record a request for a search, unless there is one of its name.

    Of several concurrent requests the first one stays, for all callers.

    Returns:
        The request under the name, whose spec the caller has to compare with its own, and whether it was made here.

    Raises:
        RequestError: when the spec is too long to be kept.
    """
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    if len(text) > MAX_CHARACTERS:
        raise RequestError(f"spec: {len(text):,} characters with its defaults; allowed: at most {MAX_CHARACTERS:,}")
    experiment = ensure_experiment(client, EXPERIMENT, None)
    starts = range(0, len(text), _CHARACTERS)
    parts = {f"{SPEC}.{number}": text[start : start + _CHARACTERS] for number, start in enumerate(starts)}
    named = {tags.KIND: KIND, tags.SEARCH: spec.name, WANTED: "run", ATTEMPTS: "0", SINCE: "0"}
    made = client.create_run(experiment, run_name=spec.name, tags=named | parts)
    first = find_requests(client, spec.name)[0]
    is_own = first.run_id == made.info.run_id
    if not is_own:
        client.delete_run(made.info.run_id)
    return first, is_own


def find_requests(client: MlflowClient, name: str | None = None) -> list[LaunchRequest]:
    """Return every request, or those of one name, the earliest first; those with a flaw come last.

    Raises:
        WorkError: when their experiment was deleted.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None and experiment.lifecycle_stage != "active":
        raise WorkError(
            f"MLflow experiment {EXPERIMENT}, which holds what was asked for, is deleted; restore it: "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
        )
    experiments = [] if experiment is None else [experiment.experiment_id]
    named = f" and tags.`{tags.SEARCH}` = '{name}'" if name is not None else ""
    found = [_request(run) for run in runs(client, experiments, f"tags.`{tags.KIND}` = '{KIND}'{named}")]
    return sorted(found, key=lambda one: (one.flaw != "", one.submitted, one.run_id))


def want_stop(client: MlflowClient, request: LaunchRequest) -> None:
    """Record that a search is to stop."""
    client.set_tag(request.run_id, WANTED, "stop")


def want_run(client: MlflowClient, request: LaunchRequest, since: int) -> None:
    """Record that a search is to run, as if it were requested anew after `since` jobs."""
    client.set_tag(request.run_id, SINCE, str(since))
    client.set_tag(request.run_id, WANTED, "run")


def record_attempt(client: MlflowClient, request: LaunchRequest, attempt: int) -> None:
    """Record that the job `attempt` was submitted; may be repeated, also by another service."""
    client.set_tag(request.run_id, ATTEMPTS, str(attempt))


def record_end(client: MlflowClient, request: LaunchRequest, end: JobEnd) -> None:
    """Record how the last job ended, so that no other one follows; may be repeated."""
    client.set_tag(request.run_id, ENDED, json.dumps(asdict(end)))


class _RequestTags(BaseModel):
    """The tags of a request, without its spec and without those that only a later version knows."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    wanted: Wanted = Field(default="run", alias=WANTED)
    attempts: int = Field(default=0, ge=0, le=_MANY, alias=ATTEMPTS)
    since: int = Field(default=0, ge=0, le=_MANY, alias=SINCE)
    ended: Json[JobEnd] | None = Field(default=None, alias=ENDED)


def _request(run: Run) -> LaunchRequest:
    """Return the request that a run records; a spoiled one has a flaw and affects no other."""
    tagged, name = run.data.tags, name_of(run)
    held, flaw = _held(tagged)
    spec, unread = _spec(tagged)
    if not SEARCH_NAME.fullmatch(tagged.get(tags.SEARCH, "")):
        flaw = f"its record in MLflow cannot be read (tag {tags.SEARCH}: is no name)"
    elif spec is not None and spec.name != name:
        flaw = f"its record in MLflow cannot be read (its spec is that of {spec.name})"
    return LaunchRequest(
        run_id=run.info.run_id,
        name=name,
        spec=None if flaw else spec,
        submitted=started_of(run),
        wanted=held.wanted,
        attempts=held.attempts,
        since=held.since,
        ended=held.ended,
        flaw=flaw or unread,
    )


def _held(tagged: Mapping[str, str]) -> tuple[_RequestTags, str]:
    """Return the tags that can be read, and the flaw of the others."""
    missing = next((f"tag {tag}: is missing" for tag in (WANTED, ATTEMPTS, SINCE) if tag not in tagged), "")
    try:
        held, reason = _RequestTags.model_validate(tagged), missing
    except ValidationError as error:
        bad = {problem["loc"][0]: problem["msg"] for problem in error.errors()}
        held = _RequestTags.model_validate({tag: value for tag, value in tagged.items() if tag not in bad})
        reason = next(f"tag {tag}: {said}" for tag, said in bad.items())
    return held, f"its record in MLflow cannot be read ({reason})" if reason else ""


def _spec(held: Mapping[str, str]) -> tuple[SearchSpec | None, str]:
    """Return the spec, or its flaw: an earlier version may have accepted what this one refuses."""
    try:
        parts = sorted((int(key.rpartition(".")[2]), text) for key, text in held.items() if key.startswith(f"{SPEC}."))
        return _parsed("".join(text for _, text in parts)), ""
    except (ValueError, ArithmeticError, RecursionError, TypeError) as error:
        return None, f"its spec cannot be read ({one_line(error)})"


@cached(LRUCache(_PARSED), key=lambda text: sha256(text.encode()).digest(), lock=Lock())
def _parsed(text: str) -> SearchSpec:
    """Parse a spec; cached, because the dispatcher reads all requests every few seconds, also those that ended."""
    return parse_spec(json.loads(text))
