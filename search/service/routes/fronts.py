"""Routes of results: fronts, trials, learning curves, comparisons."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field, StringConstraints

from search.documents import service_examples
from search.documents.service import CurveDocument
from search.service.chunked_response import ChunkedResponse
from search.service.dependencies import Name, Service, TrialId
from search.service.headers import STANDALONE
from search.service.openapi import problems
from search.service.problems import Problem
from search.service.security.authorization import READ
from spaces.errors import Unknown
from spaces.spec.sections import NAME
from tracking.documents.schemas import Axis, ComparisonDocument, FrontDocument, RungEntry, TrialsDocument
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.run_records import is_number
from tracking.reports.comparison import compare as compare_fronts

router = APIRouter(prefix="/v1", tags=["fronts"])

JSON = "application/json"
_MEDIA = {"csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8", "png": "image/png"}
_FILES: dict[str, Any] = {
    "text/csv": {"schema": {"type": "string"}, "example": "trial,method,quality\n0012,lora,0.83\n"},
    "text/html": {"schema": {"type": "string"}, "example": "<!DOCTYPE html><html></html>"},
    "image/png": {"schema": {"type": "string", "format": "binary"}},
}
_SHOWN = {"Content-Disposition": {"description": "The name of the file.", "schema": {"type": "string"}}}

Confirmed = Annotated[bool, Query(description="Of the confirmed points, by confirmed quality.", examples=[True])]
Form = Annotated[
    Literal["json", "csv", "html", "png"], Query(description="The document, a table or a picture.", examples=["csv"])
]
Names = Annotated[
    list[Annotated[str, StringConstraints(pattern=NAME)]],
    Query(description="Names of searches.", examples=[[service_examples.SEARCH, service_examples.OTHER]]),
    Field(min_length=2, max_length=10, json_schema_extra={"uniqueItems": True}),
]


@router.get(
    "/searches/{name}/front",
    dependencies=[READ],
    response_model=FrontDocument,
    responses={200: {"content": _FILES}, **problems(404)},
)
def front(
    name: Name,
    service: Service,
    confirmed: Confirmed = False,
    axis: Annotated[Axis, Query(description="The parameters to count.", examples=["stored"])] = "trainable",
    format: Form = "json",
) -> Response:
    """The front, as a document or as a file."""
    found = service.trials.get(name)
    if format == "json":
        return ChunkedResponse(found.json(found.front_document(confirmed=confirmed, axis=axis)), media_type=JSON)
    shown = {"Content-Disposition": f'inline; filename="{name}-front.{format}"'}
    if format == "html":
        shown["Content-Security-Policy"] = STANDALONE
    content = service.files.get(found, format, confirmed=confirmed, axis=axis)
    return ChunkedResponse(content, media_type=_MEDIA[format], headers=shown)


@router.get("/searches/{name}/trials", dependencies=[READ], response_model=TrialsDocument, responses=problems(404))
def trials(name: Name, service: Service) -> Response:
    """Every training of a search: trials, reference and confirmations."""
    found = service.trials.get(name)
    return ChunkedResponse(found.json(found.trials_document()), media_type=JSON)


@router.get("/searches/{name}/trials/{trial}/curve", dependencies=[READ], responses=problems(404))
def curve(name: Name, trial: TrialId, service: Service) -> CurveDocument:
    """The learning curve of one training."""
    run = next((row.run_id for row in service.trials.get(name).trials if row.plan.trial == trial), None)
    if run is None:
        raise Unknown(f"trial {trial}: none of search {name}; allowed: one of GET /v1/searches/{name}/trials")
    with reading(service.settings.tracking_uri) as client:
        found: dict[int, dict[str, float]] = {}
        for number in ("quality", "loss", "quality_se", "loss_se"):
            for one in client.get_metric_history(run, number):
                found.setdefault(one.step, {}).update({number: one.value} if is_number(one.value) else {})
    return CurveDocument(trial=trial, rungs=tuple(RungEntry(step=step, **found[step]) for step in sorted(found)))


@router.get("/compare", dependencies=[READ], responses=problems(404))
def compare(service: Service, name: Names, confirmed: Confirmed = False) -> ComparisonDocument:
    """Fronts side by side, under one common reference."""
    if len(set(name)) < len(name):
        raise Problem(422, "name: allowed: different searches")
    found = {one: service.trials.get(one) for one in name}
    fronts = [one.front_document(confirmed=confirmed) for one in found.values()]
    perfects = {key: one.search.facts.perfect for key, one in found.items()}
    return compare_fronts(fronts, confirmed=confirmed, perfects=perfects)
