"""What searches came to: fronts, trials, learning curves, comparisons."""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Condition
from typing import Annotated, Literal

from cachetools import TTLCache, cached
from fastapi import APIRouter, Query, Response

from search.service.context import Name, Service, TrialId, problems
from search.service.documents import CurveDocument, RungEntry
from search.service.guards import READ
from search.service.problems import Problem
from spaces.errors import Unknown
from tracking.client import reading
from tracking.documents import Axis, ComparisonDocument, FrontDocument, TrialsDocument
from tracking.plots import front_html, front_png
from tracking.reader import comparison, front_document, trials_document
from tracking.rows import find_search, read_trials
from tracking.tables import front_csv

router = APIRouter(prefix="/v1", tags=["fronts"])

FRESH_SECONDS = 2.0
"""Many pages look at the same front: it is read from MLflow once in so many seconds."""

Form = Literal["json", "csv", "html", "png"]
_MEDIA = {"csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8", "png": "image/png"}
_FILES = {media: {"schema": {"type": "string"}} for media in ("text/csv", "text/html", "image/png")}


@cached(TTLCache(256, FRESH_SECONDS), condition=Condition())
def _front(uri: str, name: str, confirmed: bool, axis: Axis) -> FrontDocument:
    return front_document(uri, name, confirmed=confirmed, axis=axis)


@cached(TTLCache(64, FRESH_SECONDS), condition=Condition())
def _trials(uri: str, name: str) -> TrialsDocument:
    return trials_document(uri, name)


@router.get(
    "/searches/{name}/front",
    dependencies=[READ],
    response_model=FrontDocument,
    responses={200: {"content": _FILES}, **problems(404)},
)
def front(
    name: Name,
    service: Service,
    confirmed: Annotated[bool, Query(description="Of the confirmed points, by confirmed quality.")] = False,
    axis: Annotated[Axis, Query(description="The parameters to count.")] = "trainable",
    format: Form = "json",
) -> FrontDocument | Response:
    """The front, as a document or as a file."""
    uri = service.settings.tracking_uri
    document = _front(uri, name, confirmed, axis)
    if format == "json":
        return document
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"front.{format}"
        if format == "csv":
            front_csv(document, path)
        elif format == "html":
            front_html(document, _trials(uri, name), path, confirmed=confirmed, axis=axis)
        else:
            front_png(document, _trials(uri, name), path, confirmed=confirmed, axis=axis)
        shown = {"Content-Disposition": f'inline; filename="{name}-front.{format}"'}
        return Response(path.read_bytes(), media_type=_MEDIA[format], headers=shown)


@router.get("/searches/{name}/trials", dependencies=[READ], responses=problems(404))
def trials(name: Name, service: Service) -> TrialsDocument:
    """Everything that it trained."""
    return _trials(service.settings.tracking_uri, name)


@router.get("/searches/{name}/trials/{trial}/curve", dependencies=[READ], responses=problems(404))
def curve(name: Name, trial: TrialId, service: Service) -> CurveDocument:
    """The evaluations of one training."""
    with reading(service.settings.tracking_uri) as client:
        rows = read_trials(client, find_search(client, name))
        run = next((row.run_id for row in rows if row.plan.trial == trial), None)
        if run is None:
            raise Unknown(f"trial {trial}: none of search {name}; allowed: one of GET /v1/searches/{name}/trials")
        steps = {one.step: one.value for one in client.get_metric_history(run, "quality")}
    return CurveDocument(trial=trial, rungs=tuple(RungEntry(step=step, quality=steps[step]) for step in sorted(steps)))


@router.get("/compare", dependencies=[READ], responses=problems(404))
def compare(
    service: Service,
    name: Annotated[list[str], Query(min_length=2, max_length=10, description="Names of searches.")],
    confirmed: bool = False,
) -> ComparisonDocument:
    """Fronts side by side, under one common reference."""
    if len(set(name)) < 2:
        raise Problem(422, "name: allowed: two different searches or more")
    return comparison(service.settings.tracking_uri, name, confirmed=confirmed)[0]
