"""Routes of tools: check a spec, count a configuration, describe methods; each runs a command in another process.

The commands load models, which a service that is to run for months should not do in its own memory.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

from cachetools import cached
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from search.command_process import command
from search.documents import service_examples
from search.documents.commands import CountDocument, MethodsDocument, ValidateDocument
from search.service.checks.checker import Check, check_command
from search.service.checks.commands import run_check
from search.service.dependencies import Context, Service
from search.service.openapi import Spec, SpecValues, problems
from search.service.security.authorization import READ, RUN
from search.service.security.path_confinement import confine_spec
from spaces.spec.plain_values import WHOLE
from spaces.spec.spec import parse_spec

router = APIRouter(prefix="/v1", tags=["tools"])

_EXAMPLE: dict[str, Any] = {"spec": service_examples.SPEC, "method": "lora", "settings": {"rank": 4}}

Knob = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
Setting = (
    Annotated[str, StringConstraints(max_length=1_000)] | Annotated[int, Field(gt=-WHOLE, lt=WHOLE)] | float | bool
)


class CountRequest(BaseModel):
    """A method with settings, on the model of a spec."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]}, allow_inf_nan=False)

    spec: SpecValues
    method: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=100, description="Its name.")
    settings: dict[Knob, Setting] = Field(default={}, max_length=100, description="Knobs of the method.")


@router.post("/validate", dependencies=[RUN], responses=problems(400))
def validate(spec: Spec, service: Service, request: Request) -> ValidateDocument:
    """Check a spec with its model and its data, and describe what it would search. Nothing is downloaded for it."""
    return ValidateDocument.model_validate(_made(service, request, "validate", spec))


@router.post("/count", dependencies=[RUN], responses=problems(400))
def count(wanted: CountRequest, service: Service, request: Request) -> CountDocument:
    """Trainable and stored parameters and bytes of a configuration, exactly. Nothing is downloaded for it."""
    settings = dict(wanted.settings)
    return CountDocument.model_validate(
        _made(service, request, "count", wanted.spec, method=wanted.method, settings=settings)
    )


@router.get("/methods", dependencies=[READ], responses=problems())
def methods(request: Request) -> MethodsDocument:
    """Methods, their knobs, and what each can do."""
    return _methods(request)


@cached({}, key=lambda _: "methods")
def _methods(request: Request) -> MethodsDocument:
    return MethodsDocument.model_validate_json(run_check(command(("methods", "--json")), "methods", _client(request)))


def _made(service: Context, request: Request, name: str, spec: dict[str, Any], **further: Any) -> Any:
    """Make a check of a spec in a process of its own, and return its document."""
    allowed = confine_spec(parse_spec(spec), service.settings)
    check = Check(spec=allowed.model_dump(mode="json"), **further)
    with tempfile.TemporaryDirectory() as folder:
        command_line = check_command(service.settings, check, Path(folder) / "check.json")
        return json.loads(run_check(command_line, name, _client(request)))


def _client(request: Request) -> str:
    """Return the client of a request, as `RateAndSizeLimits` noted it."""
    client: str = request.state.client
    return client
