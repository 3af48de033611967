"""The JSON schema takes every spec that is shown anywhere, and refuses what a typo makes of one."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from spaces.errors import RequestError
from spaces.methods.base.method import AnyMethod
from spaces.methods.registry import methods
from spaces.spec.metrics import METRICS
from spaces.spec.schema import spec_schema
from spaces.spec.spec import dump_spec, parse_spec

ROOT = Path(__file__).resolve().parents[3]
CHECK = jsonschema.Draft202012Validator(spec_schema())
SMALL: dict[str, Any] = {
    "name": "a",
    "model": {"path": "m"},
    "data": {"train": {"hub": "glue"}},
    "budget": {"parameters": 9},
}


def shown_specs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Shipped recipes, and what pages and manifests show."""
    for path in sorted((ROOT / "spaces" / "recipes").glob("*.yaml")):
        yield path.name, yaml.safe_load(path.read_text(encoding="utf-8"))
    yield "search.yaml", yaml.safe_load((ROOT / "deploy" / "kubernetes" / "search" / "search.yaml").read_text())
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "deploy" / "README.md"):
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
            values = yaml.safe_load(block)
            if isinstance(values, dict) and set(values) <= set(spec_schema()["properties"]):
                yield f"{page.name} {number}", {**SMALL, **values}


SHOWN = dict(shown_specs())


def takes(values: Any) -> bool:
    return bool(CHECK.is_valid(values))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(spec_schema())


@pytest.mark.parametrize("name", SHOWN)
def test_it_takes_what_is_shown_and_the_same_with_every_default(name: str) -> None:
    CHECK.validate(SHOWN[name])
    spec = parse_spec(SHOWN[name])
    CHECK.validate(yaml.safe_load(dump_spec(spec)))


def test_shown_specs_are_found() -> None:
    assert len(SHOWN) >= 11


@pytest.mark.parametrize(
    "more",
    [
        {"methods": "lora"},
        {"methods": ["lora", {"dst": {"density": [0.1, 0.2]}}, {"sparta": None}]},
        {"methods": {"lora": {"rank": {"low": 1, "high": 8, "log": True}}, "sparta": {}}},
        {"methods": [{"lora": {"learning_rate": "1e-3"}}, {"sparta": {"learning_rate_multiplier": [0.1, 1]}}]},
        {"methods": {"lora": {"layers": ["all", 2], "targets": "mlp"}}},
        {"data": {"train": "a.csv", "text": "one"}},
        {"data": {"train": "a.csv", "text": ["one", "two"]}},
        {"budget": {"parameters": "0.3%", "at_least": "0.001 %", "bytes": "200KB"}},
        {"budget": {"parameters": 50_000, "bytes": 9}},
        {"objective": {"metric": None}},
    ],
)
def test_it_takes_every_form_that_validation_takes(more: dict[str, Any]) -> None:
    CHECK.validate({**SMALL, **more})
    parse_spec({**SMALL, **more})


@pytest.mark.parametrize("name", methods())
def test_it_lists_every_method_with_the_knobs_that_it_has(name: str) -> None:
    known: AnyMethod = methods()[name]
    (knobs,) = [one for title, one in spec_schema()["$defs"].items() if title == f"method {name}"]
    settings = known.configuration.model_fields
    assert set(knobs["properties"]) >= {*settings, "learning_rate_multiplier"}
    default = known.configuration().model_dump(mode="json", exclude_none=True)
    CHECK.validate({**SMALL, "methods": {name: default}})
    parse_spec({**SMALL, "methods": {name: default}})


@pytest.mark.parametrize("metric", METRICS)
def test_it_lists_every_metric(metric: str) -> None:
    assert takes({**SMALL, "objective": {"metric": metric}})


def misspelt() -> Iterator[dict[str, Any]]:
    """The smallest spec with a field too many, in every section, or a name that nothing has."""
    yield {**SMALL, "trials": 3}
    for section, field in spec_schema()["properties"].items():
        if "$ref" in field:
            yield {**SMALL, section: {**SMALL.get(section, {}), "unheard": 1}}
    source = copy.deepcopy(SMALL)
    source["data"]["train"]["splitt"] = "train"
    yield source
    for wrong in ("lorra", ["lora", "lorra"], {"lora": {"r": 8}}, [{"lora": {"rank": {"low": 1, "hihg": 2}}}], []):
        yield {**SMALL, "methods": wrong}
    yield {**SMALL, "methods": {"lora": {"targets": "queries"}}}
    yield {**SMALL, "methods": {"lora": {"rank": 0}}}
    yield {**SMALL, "objective": {"metric": "acuracy"}}
    yield {**SMALL, "data": {"train": "a.csv", "text": []}}
    yield {**SMALL, "budget": {"parameters": "much"}}


@pytest.mark.parametrize("values", misspelt(), ids=str)
def test_it_refuses_typos_as_validation_does(values: dict[str, Any]) -> None:
    assert not takes(values)
    with pytest.raises(RequestError):
        parse_spec(values)
