"""Routes of exports: order, status, download."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse

from search.documents.service import ExportRequest, ExportStatus
from search.service.dependencies import Name, Service
from search.service.jobs.exports import PATTERN, choose_export, file_of, request_export, status, statuses
from search.service.openapi import located, problems
from search.service.problems import Problem
from search.service.security.authorization import READ, RUN

router = APIRouter(prefix="/v1/searches/{name}/exports", tags=["exports"])

ExportId = Annotated[str, Path(pattern=PATTERN, description="Id of an export.", examples=["0012-peft"])]

_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_SAVED = {"Content-Disposition": {"description": "The name of the file.", "schema": {"type": "string"}}}


@router.get("", dependencies=[READ], responses=problems(404))
def exports(name: Name, service: Service) -> list[ExportStatus]:
    """Every export of a search, in the order of trials."""
    service.status(name)  # raises where there is no such search
    return statuses(service.settings, service.jobs, name)


@router.post(
    "", status_code=202, dependencies=[RUN], responses={202: {"headers": located("export")}, **problems(400, 404, 409)}
)
def export(name: Name, wanted: ExportRequest, service: Service, response: Response) -> ExportStatus:
    """Order an export: an adapter is written and verified, which takes about as long as loading the base twice."""
    export = choose_export(wanted, service.trials.get(name))
    response.headers["Location"] = f"/v1/searches/{name}/exports/{export.identity}"
    return request_export(service.settings, service.jobs, name, export)


@router.get("/{identity}", dependencies=[READ], responses=problems(404))
def exported(name: Name, identity: ExportId, service: Service) -> ExportStatus:
    """The status of an export."""
    found = status(service.settings, service.jobs, name, identity)
    if found is None:
        raise Problem(404, f"export {identity}: nobody asked for it; allowed: POST /v1/searches/{name}/exports first")
    return found


@router.get(
    "/{identity}/download",
    dependencies=[READ],
    response_class=FileResponse,
    responses={200: {"content": _ZIP, "headers": _SAVED}, **problems(404)},
)
def download(name: Name, identity: ExportId, service: Service) -> FileResponse:
    """The exported folder as a zip file; it needs nothing else of the search."""
    file = file_of(service.settings, name, identity)
    if not file.is_file():
        raise Problem(404, f"export {identity}: not finished; allowed: one whose state is finished")
    return FileResponse(file, media_type="application/zip", filename=f"{name}-{identity}.zip")
