"""Errors as problem details (RFC 9457), one line each and without a traceback."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from search.documents.service import ProblemDocument
from search.service.headers import HEADERS
from spaces.errors import NoAnswer, RequestError, Unknown, Unreachable, WorkError
from spaces.spec.plain_values import shortened
from tracking.writing.encoding import clean

MEDIA_TYPE = "application/problem+json"

logger = logging.getLogger(__name__)


class Problem(HTTPException):
    """An error of a request, with a status code; `detail` names field, value and what is allowed."""


def problem(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response for an error of a request."""
    # Detail and path may hold what the client sent, which need not be valid text.
    said, path = clean(shortened(detail)), clean(request.url.path)
    document = ProblemDocument(title=HTTPStatus(status).phrase, status=status, detail=said, instance=path)
    # Some of these responses are made outside of the middleware that adds headers.
    every = {**HEADERS, "Cache-Control": "no-store", **(headers or {})}
    return JSONResponse(document.model_dump(), status, every, MEDIA_TYPE)


def _allowed(request: Request) -> list[str]:
    """Return the methods that a path allows on any route; Starlette's `Allow` names those of the first route only."""
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def install_handlers(app: FastAPI) -> None:
    """Register RFC 9457 handlers for all exceptions."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_allowed(request))
        return problem(request, error.status_code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != "body")
        return problem(request, 422, f"{field or 'body'}: {first['msg']}")

    @app.exception_handler(RequestError)
    async def wrong(request: Request, error: RequestError) -> JSONResponse:
        return problem(request, 404 if isinstance(error, Unknown) else 422, str(error))

    @app.exception_handler(NoAnswer)
    async def unanswered(request: Request, error: NoAnswer) -> JSONResponse:
        return problem(request, 409, str(error))

    @app.exception_handler(Unreachable)
    @app.exception_handler(WorkError)
    async def failed(request: Request, error: WorkError | Unreachable) -> JSONResponse:
        return problem(request, 503, str(error), {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        logger.error("unexpected error at %s", request.url.path, exc_info=error)
        return problem(request, 500, f"unexpected {type(error).__name__}; the service's log says more")
