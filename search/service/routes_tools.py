"""Checking specs, counting configurations, describing methods: commands, each in a process of its own.

They load models, which a service that is to live for months should not do in its own memory.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from search.commands.describing import MethodsDocument
from search.commands.inspecting import CountDocument, ValidateDocument
from search.processes import command, last_complaint
from search.service import examples
from search.service.checker import confined_command
from search.service.confinement import confined
from search.service.context import Context, Service, problems
from search.service.guards import READ
from search.service.problems import Problem
from search.service.spec_body import Spec, SpecValues
from spaces.errors import RequestError, WorkError
from spaces.plain_values import WHOLE
from spaces.spec import dump_spec, parse_spec

router = APIRouter(prefix="/v1", tags=["tools"])

SECONDS = 300.0
WAIT_SECONDS = 5.0
"""Until who asks is told to come again: whoever waits here keeps others from being answered."""

_PROCESSES = BoundedSemaphore(2)


_EXAMPLE: dict[str, Any] = {"spec": examples.SPEC, "method": "lora", "settings": {"rank": 4}}

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


@router.post("/validate", dependencies=[READ], responses=problems(400))
def validate(spec: Spec, service: Service) -> ValidateDocument:
    """Check a spec with its model and its data, and say what it would search."""
    return ValidateDocument.model_validate(_asked(service, spec, "validate", ()))


@router.post("/count", dependencies=[READ], responses=problems(400))
def count(wanted: CountRequest, service: Service) -> CountDocument:
    """Trainable and stored parameters and bytes of a configuration, exactly."""
    settings = [part for knob, value in wanted.settings.items() for part in ("--set", f"{knob}={json.dumps(value)}")]
    return CountDocument.model_validate(_asked(service, wanted.spec, "count", ("--method", wanted.method, *settings)))


@router.get("/methods", dependencies=[READ], responses=problems())
def methods() -> MethodsDocument:
    """Methods, their knobs, and what each can do."""
    return _methods()


@cache
def _methods() -> MethodsDocument:
    return MethodsDocument.model_validate(_run(command(("methods", "--json")), "methods"))


def _asked(service: Context, spec: dict[str, Any], name: str, arguments: Sequence[str]) -> Any:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as file:
        file.write(dump_spec(confined(parse_spec(spec), service.settings)))
        file.flush()
        return _run(confined_command(service.settings, (name, file.name, *arguments, "--json")), name)


def _run(command: Sequence[str], name: str) -> Any:
    """What a command, called `name`, prints as JSON.

    Raises:
        RequestError: with its line, when it says that the request is wrong.
        WorkError: when it fails.
    """
    if not _PROCESSES.acquire(timeout=WAIT_SECONDS):
        raise Problem(503, "two checks at once are made already", {"Retry-After": "10"})
    try:
        with tempfile.TemporaryDirectory() as empty:  # names of models and data are no folders
            done = subprocess.run(command, cwd=empty, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise WorkError(f"{name}: took longer than {SECONDS:g} s") from None
    finally:
        _PROCESSES.release()
    if done.returncode == 0:
        return json.loads(done.stdout)
    line = last_complaint(done.stderr) or f"{name}: ended with code {done.returncode}"
    raise (RequestError if done.returncode == 2 else WorkError)(line)
