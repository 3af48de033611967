"""Dependencies of the routes: the parts of the service, and parameters that many paths have."""

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
    """The parts of the service that a request reached.

    Attributes:
        trials: snapshots of searches, which may be seconds old.
        status: the status of one search by name; never older than the call.
        statuses: the status of every search; never older than the call. Its key is None.
    """

    settings: Settings
    jobs: Jobs
    dispatcher: Dispatcher
    trials: TrialCache
    files: FrontFiles
    status: SingleFlight[str, SearchStatus]
    statuses: SingleFlight[None, list[SearchStatus]]


async def _context(request: Request) -> Context:
    """Return the context; a coroutine, so that it does not queue for a worker thread behind MLflow reads."""
    found: Context = request.app.state.context
    return found


Service = Annotated[Context, Depends(_context)]
