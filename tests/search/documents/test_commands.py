"""The documents of commands: their schemas hold their examples."""

from __future__ import annotations

import jsonschema
import pytest
from pydantic import BaseModel

from search.documents.commands import CountDocument, MethodsDocument, ValidateDocument
from search.documents.service import (
    CurveDocument,
    ExportRequest,
    ExportStatus,
    ProblemDocument,
    SearchPage,
    SearchStatus,
)

DOCUMENTS: list[type[BaseModel]] = [
    CountDocument,
    MethodsDocument,
    ValidateDocument,
    CurveDocument,
    ExportRequest,
    ExportStatus,
    ProblemDocument,
    SearchPage,
    SearchStatus,
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.__name__)
def test_an_example_is_one_that_the_document_takes(document: type[BaseModel]) -> None:
    (example,) = document.model_json_schema()["examples"]
    assert document.model_validate(example)
    jsonschema.validate(example, document.model_json_schema())
