"""What every route is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from search.documents.service import SearchStatus
from search.documents.service_examples import SEARCH
from search.service.cache.front_files import FrontFiles
from search.service.cache.single_flight import SingleFlight
from search.service.cache.trial_cache import TrialCache
from search.service.dispatch.dispatcher import Dispatcher
from search.service.jobs.ray_jobs import Jobs
from search.service.settings import Settings
from spaces.spec.sections import NAME

Name = Annotated[str, Path(pattern=NAME, description="Name of a search.", examples=[SEARCH])]
TrialId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,99}$", description="Id of a training.", examples=["0012"])
]


@dataclass(frozen=True)
class Context:
    """The service that a request reached. `status` and `statuses`: how one search stands, and all of them."""

    settings: Settings
    jobs: Jobs
    dispatcher: Dispatcher
    trials: TrialCache
    files: FrontFiles
    status: SingleFlight[str, SearchStatus]
    statuses: SingleFlight[None, list[SearchStatus]]


async def _context(request: Request) -> Context:
    """At once: what is no coroutine waits for a thread, and behind whoever reads from MLflow."""
    found: Context = request.app.state.context
    return found


Service = Annotated[Context, Depends(_context)]
