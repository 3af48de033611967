"""Attacks by values: whatever a body holds, the service answers in one line, and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.search.service.alone import Alone, alone_in
from tests.spaces.spec.any_values import ANY, FIELDS, nested, with_field


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Alone:
    folder = tmp_path_factory.mktemp("values")
    return alone_in(folder, empty_database, requests_per_minute=10**6, max_queued=10**6)


def asked(one: Alone, path: str, values: Any) -> Any:
    """The answer to values as Python writes them: with NaN, and with halves of surrogate pairs."""
    return one.http.post(path, content=json.dumps(values), headers={"Content-Type": "application/json"})


def check(answer: Any) -> None:
    assert answer.status_code in (200, 201, 202, 400, 404, 409, 413, 422), answer.text
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert len(answer.json()["detail"].splitlines()) == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=ANY)
def test_no_value_of_a_spec_breaks_the_service(one: Alone, field: str, value: Any) -> None:
    values = with_field(field, value)
    if field != "data.train" and isinstance(values["data"], dict):
        values["data"]["train"] = str(one.settings.roots[0] / "train.csv")
    check(asked(one, "/v1/searches", values))


def test_and_lists_it_afterwards(one: Alone) -> None:
    assert asked(one, "/v1/searches", one.spec("after").model_dump(mode="json")).status_code == 201
    assert one.http.get("/v1/searches").status_code == 200
    assert one.http.get("/v1/searches/after").json()["state"] == "queued"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=ANY | st.dictionaries(st.sampled_from(["trial", "choice", "format", "rank", "max_parameters"]), ANY))
def test_no_value_of_another_body_breaks_the_service(one: Alone, body: Any) -> None:
    check(asked(one, "/v1/searches/nothing/exports", body))
    check(asked(one, "/v1/count", {"spec": {}, "method": "lora", "settings": body}))
    check(asked(one, "/v1/count", body))
    check(asked(one, "/v1/validate", {"name": body}))


@pytest.mark.parametrize("number", [10**400, -(10**30), float("nan"), float("inf"), 1e300])
def test_numbers_that_nobody_means_are_refused(one: Alone, number: float) -> None:
    wanted = {"spec": {}, "method": "lora", "settings": {"rank": number}}
    assert asked(one, "/v1/count", wanted).status_code == 422
    for field in ("rank", "max_parameters"):
        assert asked(one, "/v1/searches/nothing/exports", {"format": "lora", field: number}).status_code == 422


def test_a_search_that_was_refused_is_not_kept(one: Alone) -> None:
    for value in (float("nan"), nested(500, lambda inner: [inner]), "\ud800", 10**400):
        values = one.spec("refused").model_dump(mode="json")
        values["search"]["start_with"] = [{"method": "lora", "rank": value}]
        assert asked(one, "/v1/searches", values).status_code == 422
    assert one.http.get("/v1/searches/refused").status_code == 404
