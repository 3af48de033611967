"""The description of the service says what everything is, and shows an example of it that is true to its schema."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from search.service.app import create_app
from search.service.settings import Settings

Described = dict[str, Any]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Described:
    nowhere = "http://127.0.0.1:9"
    settings = Settings(tmp_path_factory.mktemp("storage"), tracking_uri=nowhere, ray_jobs=nowhere)
    return create_app(settings).openapi()


def operations(described: Described) -> Iterator[tuple[str, Described]]:
    for path, verbs in described["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


def resolved(described: Described, schema: Described) -> Described:
    """The schema with what it refers to."""
    *_, name = schema.get("$ref", "").split("/")
    return {**described["components"]["schemas"][name], **schema} if name else schema


def examples(described: Described, holder: Described) -> list[Any]:
    """Of a parameter or a content: beside its schema, or in it."""
    schema = resolved(described, holder.get("schema", {}))
    beside = [one["value"] for one in holder.get("examples", {}).values()]
    listed = [[one] for one in resolved(described, schema.get("items", {})).get("examples", [])]
    own = [one["example"] for one in (holder, schema) if "example" in one]
    return [*beside, *schema.get("examples", []), *listed, *own]


def is_binary(content: Described) -> bool:
    """A picture or an archive has no example in JSON."""
    return content.get("schema", {}).get("format") == "binary"


def shown(described: Described) -> Iterator[tuple[str, Described]]:
    """Everything that is to have an example: parameters, bodies, and what comes back when all is well."""
    for name, operation in operations(described):
        for parameter in operation.get("parameters", []):
            yield f"{name}, parameter {parameter['name']}", parameter
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name}, body as {media}", content
        for status, response in operation["responses"].items():
            for media, content in response.get("content", {}).items():
                if status.startswith("2") and not is_binary(content):
                    yield f"{name}, {status} as {media}", content


def complaints(described: Described) -> list[str]:
    """What is missing, and which examples are wrong."""
    found = [
        f"{name}: says nothing"
        for name, operation in operations(described)
        if not (operation.get("summary") and operation.get("description"))
    ]
    found += [f"{name}: no content" for name, one in operations(described) if not _gives_something(one)]
    for name, holder in shown(described):
        given = examples(described, holder)
        if not given:
            found.append(f"{name}: no example")
        schema = {**holder["schema"], "components": described["components"]}
        for error in (error for one in given for error in Draft202012Validator(schema).iter_errors(one)):
            found.append(f"{name}: {error.message}")
    for name, operation in operations(described):
        for parameter in operation.get("parameters", []):
            if not parameter.get("description"):
                found.append(f"{name}, parameter {parameter['name']}: says nothing")
    return found


def _gives_something(operation: Described) -> bool:
    return all(one.get("content") for status, one in operation["responses"].items() if status.startswith("2"))


def test_everything_is_described_with_an_example_that_is_valid(described: Described) -> None:
    names = [name for name, _ in operations(described)]
    assert len(names) > 15
    assert sum(1 for _ in shown(described)) > 2 * len(names)
    assert complaints(described) == []


def _without_a_parameters_example(described: Described) -> None:
    del described["paths"]["/v1/searches"]["get"]["parameters"][0]["schema"]["examples"]


def _without_a_documents_example(described: Described) -> None:
    del described["components"]["schemas"]["FrontDocument"]["examples"]


def _with_a_wrong_example(described: Described) -> None:
    described["components"]["schemas"]["SearchStatus"]["examples"][0]["progress"] = 2


def _without_words(described: Described) -> None:
    del described["paths"]["/healthz"]["get"]["description"]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_without_a_parameters_example, "GET /v1/searches, parameter limit: no example"),
        (_without_a_documents_example, "GET /v1/searches/{name}/front, 200 as application/json: no example"),
        (
            _with_a_wrong_example,
            "GET /v1/searches/{name}, 200 as application/json: 2 is greater than the maximum of 1.0",
        ),
        (_without_words, "GET /healthz: says nothing"),
    ],
)
def test_what_is_missing_is_named(described: Described, spoil: Callable[[Described], None], complaint: str) -> None:
    spoiled = copy.deepcopy(described)
    spoil(spoiled)
    assert complaint in complaints(spoiled)


def test_every_reference_leads_somewhere(described: Described) -> None:
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from (value for key, value in part.items() if key == "$ref" and isinstance(value, str))
            yield from (one for value in part.values() for one in references(value))
        elif isinstance(part, list):
            yield from (one for value in part for one in references(value))

    found = set(references(described))
    assert found
    for one in found:
        target = described
        for step in one.removeprefix("#/").split("/"):
            target = target[step]


def test_an_example_of_a_spec_is_one(described: Described, tmp_path: Path) -> None:
    from spaces.spec.spec import parse_spec

    (example,) = described["components"]["schemas"]["CountRequest"]["examples"]
    assert parse_spec(example["spec"]).name == "sst2-under-0.3-percent"
