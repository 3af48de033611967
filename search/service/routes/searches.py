"""Routes of searches: launch, list, status, spec, stop and resume."""

from __future__ import annotations

from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from search.documents import service_examples
from search.documents.service import Phase, SearchPage, SearchStatus
from search.service.dependencies import Context, Name, Service
from search.service.dispatch import stop_and_resume
from search.service.openapi import Spec, located, problems
from search.service.problems import Problem
from search.service.security.authorization import READ, RUN
from search.service.security.path_confinement import confine_spec
from spaces.errors import Unknown
from spaces.spec.spec import SearchSpec, parse_spec
from tracking.mlflow_store.artifacts import fetch_spec
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import add_request, find_requests
from tracking.mlflow_store.runs import scan_searches

router = APIRouter(prefix="/v1/searches", tags=["searches"])

_ASKING = Lock()
"""Serialises new searches, so that concurrent requests do not share the last free place in the queue. Another service
may still take it."""

_LAUNCHED: dict[int | str, dict[str, Any]] = {
    200: {"model": SearchStatus, "description": "It was asked for before.", "headers": located("search")},
    201: {"headers": located("search")},
}
_SPEC: dict[str, Any] = {
    "content": {"application/json": {"example": parse_spec(service_examples.SPEC).model_dump(mode="json")}}
}


@router.post("", status_code=201, dependencies=[RUN], responses={**_LAUNCHED, **problems(400, 409)})
def launch(spec: Spec, service: Service, response: Response) -> SearchStatus:
    """Ask for a search. The same spec again is the same search (200); another one under its name is refused (409)."""
    asked = confine_spec(parse_spec(spec), service.settings)
    response.headers["Location"] = f"/v1/searches/{asked.name}"
    if not _is_new(service, asked):
        response.status_code = 200
    service.dispatcher.look()
    return service.status(asked.name)


def _is_new(service: Context, asked: SearchSpec) -> bool:
    """Record the request for a search; return False where the same search was asked for or begun before.

    Raises:
        Problem: when the name belongs to another spec, or too many searches wait.
    """
    settings = service.settings
    with reading(settings.tracking_uri) as client:
        known = find_requests(client, asked.name)
        if not known:
            tracked = scan_searches(client, asked.name)
            if tracked:  # a command began it
                _check_same(asked, fetch_spec(settings.tracking_uri, tracked[0].run_id))
                return False
            with _ASKING:
                if known := find_requests(client, asked.name):  # another thread was first
                    _check_same(asked, known[0].spec)
                    return False
                waiting = sum(one.state == "queued" for one in service.statuses(None))
                if waiting >= settings.max_queued:
                    detail = f"{waiting} searches wait; allowed: {settings.max_queued}"
                    raise Problem(429, detail, {"Retry-After": "60"})
                request, is_own = add_request(client, asked)
        else:
            request, is_own = known[0], False
    _check_same(asked, request.spec)
    return is_own


def _check_same(asked: SearchSpec, known: SearchSpec | None) -> None:
    if asked != known:
        raise Problem(409, f"name = {asked.name}: in use by another spec; allowed: a new name, or the same spec")


@router.get("", dependencies=[READ], responses=problems())
def searches(
    service: Service,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many.", examples=[20])] = 50,
    offset: Annotated[int, Query(ge=0, le=10**6, description="After so many.", examples=[20])] = 0,
    state: Annotated[Phase | Literal[""], Query(description="Empty: any.", examples=["running"])] = "",
    contains: Annotated[str, Query(max_length=100, description="A part of the name.", examples=["sst2"])] = "",
) -> SearchPage:
    """Searches, newest first."""
    found = [
        one for one in service.statuses(None) if contains.lower() in one.search.lower() and state in ("", one.state)
    ]
    return SearchPage(searches=tuple(found[offset : offset + limit]), total=len(found), limit=limit, offset=offset)


@router.get("/{name}", dependencies=[READ], responses=problems(404))
def search(name: Name, service: Service) -> SearchStatus:
    """The status of a search: its counts, its best points, and the time that is left."""
    return service.status(name)


@router.get("/{name}/spec", dependencies=[READ], responses={200: _SPEC, **problems(404)})
def spec(name: Name, service: Service) -> SearchSpec:
    """The spec of a search."""
    uri = service.settings.tracking_uri
    with reading(uri) as client:
        requests, tracked = find_requests(client, name), scan_searches(client, name)
    if not requests and not tracked:
        raise Unknown(f"search {name!r}: not known; allowed: one of GET /v1/searches")
    return requests[0].readable_spec() if requests else fetch_spec(uri, tracked[0].run_id)


@router.post("/{name}/stop", status_code=202, dependencies=[RUN], responses=problems(404, 409))
def stop(name: Name, service: Service) -> SearchStatus:
    """Stop a search cleanly. Its front stays, and it can be resumed."""
    stop_and_resume.stop(service.settings, service.jobs, name)
    return service.status(name)


@router.post("/{name}/resume", status_code=202, dependencies=[RUN], responses=problems(404, 409))
def resume(name: Name, service: Service) -> SearchStatus:
    """Resume a search that was stopped or failed, also one that a command began."""
    stop_and_resume.resume(service.settings, service.jobs, name)
    service.dispatcher.look()
    return service.status(name)
