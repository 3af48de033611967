"""What every route is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from search.documents.service import ProblemDocument, SearchStatus
from search.documents.service_examples import SEARCH
from search.service.cache.front_files import Files
from search.service.cache.single_flight import Shared
from search.service.cache.trial_cache import Readings
from search.service.dispatch.dispatcher import Dispatcher
from search.service.jobs.ray_jobs import Jobs
from search.service.settings import Settings
from spaces.spec.sections import NAME

Name = Annotated[str, Path(pattern=NAME, description="Name of a search.", examples=[SEARCH])]
TrialId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$", description="Id of a training.", examples=["0012"])
]

_LATER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "examples": [10]}}}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "How to say who asks.", "schema": {"type": "string"}}},
    429: _LATER,
    503: _LATER,
}
_MEANINGS = {
    400: "The body cannot be read.",
    401: "No token, or one that nobody has.",
    403: "The token's role may not do this.",
    404: "There is nothing of that name.",
    409: "It contradicts how things stand.",
    413: "The body is larger than allowed.",
    422: "The request is wrong; the detail names field, value and what is allowed.",
    429: "Too many requests, or too many searches that wait.",
    503: "What the service stands on, MLflow or Ray, does not answer.",
}


@dataclass(frozen=True)
class Context:
    """The service that a request reached. `status` and `statuses`: how one search stands, and all of them."""

    settings: Settings
    jobs: Jobs
    dispatcher: Dispatcher
    readings: Readings
    files: Files
    status: Shared[str, SearchStatus]
    statuses: Shared[None, list[SearchStatus]]


async def _context(request: Request) -> Context:
    """At once: what is no coroutine waits for a thread, and behind whoever reads from MLflow."""
    found: Context = request.app.state.context
    return found


Service = Annotated[Context, Depends(_context)]


def open_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors of a route for everybody, for its documentation; those that every route has among them."""
    content = {"application/problem+json": {"schema": ProblemDocument.model_json_schema()}}
    return {
        status: {"content": content, "description": _MEANINGS[status], "headers": _HEADERS.get(status, {})}
        for status in sorted({*statuses, 413, 429})
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors of a route that needs a token, likewise."""
    return open_problems(*statuses, 401, 403, 422, 503)


def located(what: str) -> dict[str, Any]:
    """The header that says where something new is found."""
    return {"Location": {"description": f"Path of the {what}.", "schema": {"type": "string"}}}
