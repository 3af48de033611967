"""A spec in the body of a request: any mapping is taken, and refused in the words of the command line."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body
from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

from search.documents import service_examples
from spaces.spec.spec import SearchSpec


class _DescribedAsSpec:
    """Has a mapping described by the schema of a spec."""

    def __get_pydantic_json_schema__(self, _: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(SearchSpec.__pydantic_core_schema__)


SpecValues = Annotated[dict[str, Any], _DescribedAsSpec()]
Spec = Annotated[SpecValues, Body(description="A spec, as a YAML file has it.", examples=[service_examples.SPEC])]
