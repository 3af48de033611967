"""What every route is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from search.service.dispatcher import Dispatcher
from search.service.documents import ProblemDocument
from search.service.jobs import Jobs
from search.service.settings import Settings

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of a search.")]
TrialId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$", description="Id of a training.")]


@dataclass(frozen=True)
class Context:
    """The service that a request reached."""

    settings: Settings
    jobs: Jobs
    dispatcher: Dispatcher


def _context(request: Request) -> Context:
    state = request.app.state
    return Context(state.settings, state.jobs, state.dispatcher)


Service = Annotated[Context, Depends(_context)]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors of a route, for its documentation; those that every route has among them."""
    content = {"application/problem+json": {"schema": ProblemDocument.model_json_schema()}}
    return {
        status: {"content": content, "description": "Problem"} for status in (*statuses, 401, 403, 413, 422, 429, 503)
    }
