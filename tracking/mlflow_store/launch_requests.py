"""Searches that somebody asked a service for, kept in MLflow: what is to run, and what is to stop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Literal

from cachetools import LRUCache, cached
from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError

from spaces.errors import RequestError, WorkError
from spaces.spec.spec import SearchSpec, parse_spec
from tracking.mlflow_store import tags
from tracking.mlflow_store.client import ensure_experiment, one_line
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

# A tag holds 8,000 characters at most, so that a long spec stands in several.
_CHARACTERS = 4_000

MAX_CHARACTERS = 200_000
"""Of a spec as JSON: every listing reads those of all requests, for as long as MLflow keeps them."""

_MANY = 10**9
_PARSED = 256


@dataclass(frozen=True)
class JobEnd:
    """How the job `attempt` left a search that is not finished: stopped by a limit of its own, or failed for good."""

    attempt: int
    state: Literal["stopped", "failed"]
    message: str = ""


@dataclass(frozen=True)
class LaunchRequest:
    """A search that was asked for.

    `spec`: none where it cannot be read, and `flaw` says why. `submitted`: milliseconds since the epoch. `wanted`:
    whether it is to run or to stop. `attempts`: jobs that were submitted for it so far; `since`: how many of them
    before it was last asked for. `ended`: what Ray may have forgotten; it says nothing once the search was asked for
    again.
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

    def readable(self) -> SearchSpec:
        """Its spec.

        Raises:
            RequestError: when it cannot be read.
        """
        if self.spec is None:
            raise RequestError(f"search {self.name!r}: {self.flaw}")
        return self.spec


def add_request(client: MlflowClient, spec: SearchSpec) -> tuple[LaunchRequest, bool]:
    """Ask for a search, and give the request that stands under its name: of several at once the first, for all who ask.

    The second value: whether it is the one that was made here. Whether another one asks for the same is for the caller
    to see.

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
    """Every request, or those under one name, in the order in which they were made; those with a flaw come last.

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
    """Say that a search is to stop."""
    client.set_tag(request.run_id, WANTED, "stop")


def want_run(client: MlflowClient, request: LaunchRequest, since: int) -> None:
    """Say that a search is to run, as if it were asked for anew after so many attempts."""
    client.set_tag(request.run_id, SINCE, str(since))
    client.set_tag(request.run_id, WANTED, "run")


def record_attempt(client: MlflowClient, request: LaunchRequest, attempt: int) -> None:
    """A job was submitted; told twice, by two services, it is the same."""
    client.set_tag(request.run_id, ATTEMPTS, str(attempt))


def record_end(client: MlflowClient, request: LaunchRequest, end: JobEnd) -> None:
    """Its last job ended, and there is to be no other one; told twice, it is the same."""
    client.set_tag(request.run_id, ENDED, json.dumps(asdict(end)))


class _Held(BaseModel):
    """What the tags of a request say beside its spec. Those that a later version adds are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    wanted: Wanted = Field(default="run", alias=WANTED)
    attempts: int = Field(default=0, ge=0, le=_MANY, alias=ATTEMPTS)
    since: int = Field(default=0, ge=0, le=_MANY, alias=SINCE)
    ended: Json[JobEnd] | None = Field(default=None, alias=ENDED)


def _request(run: Run) -> LaunchRequest:
    """What a run asks for; one that somebody spoiled has a flaw, and is of no consequence for others."""
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


def _held(tagged: Mapping[str, str]) -> tuple[_Held, str]:
    """What can be read, and what is wrong with the rest."""
    missing = next((f"tag {tag}: is missing" for tag in (WANTED, ATTEMPTS, SINCE) if tag not in tagged), "")
    try:
        held, reason = _Held.model_validate(tagged), missing
    except ValidationError as error:
        bad = {problem["loc"][0]: problem["msg"] for problem in error.errors()}
        held = _Held.model_validate({tag: value for tag, value in tagged.items() if tag not in bad})
        reason = next(f"tag {tag}: {said}" for tag, said in bad.items())
    return held, f"its record in MLflow cannot be read ({reason})" if reason else ""


def _spec(held: Mapping[str, str]) -> tuple[SearchSpec | None, str]:
    """The spec, or what is wrong with it: an earlier version may have taken what this one does not."""
    try:
        parts = sorted((int(key.rpartition(".")[2]), text) for key, text in held.items() if key.startswith(f"{SPEC}."))
        return _parsed("".join(text for _, text in parts)), ""
    except (ValueError, ArithmeticError, RecursionError, TypeError) as error:
        return None, f"its spec cannot be read ({one_line(error)})"


@cached(LRUCache(_PARSED), key=lambda text: sha256(text.encode()).digest(), lock=Lock())
def _parsed(text: str) -> SearchSpec:
    """The spec in a text; the same few are read every few seconds, those of searches that ended long ago as well."""
    return parse_spec(json.loads(text))
