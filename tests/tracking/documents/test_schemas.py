"""Documents: what a point is compared by, and the examples of their schemas."""

from __future__ import annotations

import jsonschema
import pytest
from pydantic import BaseModel

from tracking.documents import schemas
from tracking.documents.schema_examples import POINT
from tracking.documents.schemas import ComparisonDocument, FrontDocument, FrontPoint, TrialsDocument


def test_a_point_is_compared_by_its_confirmed_quality_where_that_is_asked_for_and_known() -> None:
    point = FrontPoint.model_validate(POINT | {"quality": 0.9, "confirmed_quality": 0.8})
    assert (point.score(confirmed=True), point.score(confirmed=False)) == (0.8, 0.9)
    once = point.model_copy(update={"confirmed_quality": None})
    assert once.score(confirmed=True) == 0.9


def test_the_size_of_a_point_is_the_count_on_the_axis() -> None:
    point = FrontPoint.model_validate(POINT | {"trainable_parameters": 7, "stored_parameters": 5})
    assert (point.size("trainable"), point.size("stored")) == (7, 5)


@pytest.mark.parametrize("model", [FrontDocument, TrialsDocument, ComparisonDocument])
def test_examples_are_documents(model: type[BaseModel]) -> None:
    schema = model.model_json_schema(mode="serialization")
    for example in schema["examples"]:
        jsonschema.validate(example, schema)
        assert model.model_validate(example).model_dump(mode="json", exclude_unset=True) == example


def test_ties_are_left_out_where_there_are_none() -> None:
    document = FrontDocument.model_validate(FrontDocument.model_json_schema()["examples"][0])
    assert "ties" not in document.model_dump()
    tied = document.model_copy(update={"ties": schemas.Ties(pairs=(("0000", "0001"),), fewest=1, most=2, rows=None)})
    assert tied.model_dump()["ties"]["most"] == 2
