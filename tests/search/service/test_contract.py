"""The running service keeps to its own description, whatever is asked of it, right or wrong.

schemathesis makes the requests from `/openapi.json`, the same ones in every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from search.service.security.path_confinement import confine_spec
from search.service.settings import Settings
from spaces.errors import RequestError
from spaces.spec.spec import parse_spec
from tests.search.service.surroundings import Running

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("service")]

EXAMPLES = settings(
    max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)

SPECS = {"POST /v1/searches", "POST /v1/validate", "POST /v1/count"}
EXPORT = "POST /v1/searches/{name}/exports"
RULES = {*SPECS, EXPORT}
"""What these take follows rules that no JSON schema holds, such as folders that may be read: 422 is right for them."""


def description(service: Running, **parameters: str) -> BaseSchema:
    """The service's, with a token that may do everything, and these parameters as they are."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 0,
            "cache": {"enabled": False},
            "headers": {"Authorization": f"Bearer {service.token}"},
            # Its body is that of a launch, of which every field is tried.
            "operations": [{"include-path": "/v1/validate", "phases": {"coverage": {"enabled": False}}}],
            "parameters": {f"path.{name}": value for name, value in parameters.items()},
        }
    )
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json", config=config)


@pytest.fixture
def anything(service: Running) -> BaseSchema:
    return description(service)


@pytest.fixture
def of_a_search(service: Running, finished: str) -> BaseSchema:
    return description(service, name=finished, trial="0000")


@pytest.fixture(scope="module", autouse=True)
def nothing_begins(service: Running, finished: str) -> Iterator[None]:
    """No request of this module has a search or an export begin."""

    def known() -> tuple[set[str], set[str]]:
        return {one.search for one in service.client.searches(limit=200).searches}, set(service.jobs.all())

    before = known()
    yield
    assert known() == before


def check(case: Case, service: Running) -> requests.Response | None:
    """Ask, and see that the answer is one of those described; what would begin work is not asked."""
    if case.operation.label in SPECS and begins_work(case, service):
        return None
    without = [positive_data_acceptance] if case.operation.label in RULES else []
    return case.call_and_validate(excluded_checks=without, timeout=60)


def begins_work(case: Case, service: Running) -> bool:
    """Whether a spec passes everything that is checked before a search or a process is begun."""
    values: Any = case.body
    if case.operation.label == "POST /v1/count":
        values = values.get("spec") if isinstance(values, dict) else None
    place = service.place
    readable = Settings(service.storage, service.tracking_uri, roots=(place.data, place.model))
    try:
        confine_spec(parse_spec(values), readable)
    except RequestError:
        return False
    return True


@(schemathesis.pytest.from_fixture("anything").exclude(path="/v1/methods").parametrize())
@EXAMPLES
def test_whatever_is_asked_gets_an_answer_that_is_described(case: Case, service: Running) -> None:
    check(case, service)


@(
    schemathesis.pytest.from_fixture("of_a_search")
    .include(path_regex=r"^/v1/searches/\{name\}")
    .exclude(path_regex=r"/exports$", method="POST")  # would write adapters, in every form
    .parametrize()
)
@EXAMPLES
def test_so_it_is_for_a_search_that_exists(case: Case, service: Running) -> None:
    check(case, service)


@pytest.mark.parametrize("path", ["/v1/validate", "/v1/count", "/v1/methods"])
def test_what_takes_a_process_gives_what_is_described(anything: BaseSchema, service: Running, path: str) -> None:
    values = service.values("described")
    bodies = {"/v1/validate": values, "/v1/count": {"spec": values, "method": "lora", "settings": {"rank": 2}}}
    if path in bodies:
        case = anything[path]["POST"].Case(body=bodies[path], media_type="application/json")
    else:
        case = anything[path]["GET"].Case()
    token = {"Authorization": f"Bearer {service.token}"}
    assert case.call_and_validate(headers=token, timeout=300).status_code == 200
