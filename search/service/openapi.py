"""The OpenAPI document: the response of every error, the body that holds a spec, and examples with null values."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, FastAPI
from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

from search.documents import service_examples
from search.documents.commands import ValidateDocument
from search.documents.service import ExportStatus, ProblemDocument, SearchPage, SearchStatus
from spaces.spec.spec import SearchSpec
from tracking.documents.schemas import ComparisonDocument, FrontDocument, TrialsDocument

Responses = dict[int | str, dict[str, Any]]
"""The `responses` of a FastAPI route: a description by status code."""

_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "examples": [10]}}}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "The scheme of authentication.", "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
_MEANINGS = {
    400: "The body cannot be read.",
    401: "No token, or an unknown one.",
    403: "The token's role may not do this.",
    404: "Nothing has this name.",
    409: "The request conflicts with the state of the search.",
    413: "The body is larger than allowed.",
    422: "The request is wrong; the detail names field, value and what is allowed.",
    429: "Too many requests, or too many searches that wait.",
    503: "MLflow or Ray does not answer, or a file of the service cannot be read.",
}

_WITH_NULLS: tuple[type[BaseModel], ...] = (
    ComparisonDocument,
    ExportStatus,
    FrontDocument,
    SearchPage,
    SearchStatus,
    TrialsDocument,
    ValidateDocument,
)


class _SpecSchema:
    """Describe a mapping in the OpenAPI document by the schema of a spec."""

    def __get_pydantic_json_schema__(self, _: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(SearchSpec.__pydantic_core_schema__)


SpecValues = Annotated[dict[str, Any], _SpecSchema()]
"""A spec in a request. Any mapping is accepted here; `parse_spec` refuses a wrong one in the command line's words."""

Spec = Annotated[SpecValues, Body(description="A spec, as a YAML file has it.", examples=[service_examples.SPEC])]
"""A request body that is a spec."""


def open_problems(*statuses: int) -> Responses:
    """Return the error responses of a route that needs no token: `statuses`, and those that every route has."""
    content = {"application/problem+json": {"schema": ProblemDocument.model_json_schema()}}
    return {
        status: {"content": content, "description": _MEANINGS[status], "headers": _HEADERS.get(status, {})}
        for status in sorted({*statuses, 413, 429})
    }


def problems(*statuses: int) -> Responses:
    """Return the error responses of a route that needs a token: `statuses`, and those that every such route has."""
    return open_problems(*statuses, 401, 403, 422, 503)


def located(what: str) -> dict[str, Any]:
    """Return the `Location` header of a response that creates `what`."""
    return {"Location": {"description": f"Path of the {what}.", "schema": {"type": "string"}}}


class DocumentedApp(FastAPI):
    """A FastAPI application whose document keeps the null values of its examples, which FastAPI removes."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        for model in _WITH_NULLS:
            own = model.model_json_schema(mode="serialization")["examples"]
            document["components"]["schemas"][model.__name__]["examples"] = own
        return document
