"""The OpenAPI document of the service."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from search.documents.commands import ValidateDocument
from search.documents.service import ExportStatus, SearchPage, SearchStatus
from tracking.documents.schemas import ComparisonDocument, FrontDocument, TrialsDocument

_WITH_NULLS: tuple[type[BaseModel], ...] = (
    ComparisonDocument,
    ExportStatus,
    FrontDocument,
    SearchPage,
    SearchStatus,
    TrialsDocument,
    ValidateDocument,
)


class Described(FastAPI):
    """FastAPI takes every null out of its document, also out of examples, where it is a value."""

    def openapi(self) -> dict[str, Any]:
        """The document, with examples as they were written."""
        document = super().openapi()
        for model in _WITH_NULLS:
            own = model.model_json_schema(mode="serialization")["examples"]
            document["components"]["schemas"][model.__name__]["examples"] = own
        return document
