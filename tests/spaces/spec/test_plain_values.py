"""Values that cannot be kept as JSON are refused in one line, in every field of a spec."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.errors import RequestError
from spaces.spec.plain_values import check_plain, shortened
from spaces.spec.spec import parse_spec
from tests.spaces.spec.any_values import ANY, FIELDS, nested, with_field


@given(field=st.sampled_from(FIELDS), value=ANY)
def test_whatever_a_field_holds_the_spec_can_be_kept_or_is_refused_in_one_line(field: str, value: Any) -> None:
    spec, refused = None, ""
    try:
        spec = parse_spec(with_field(field, value))
    except RequestError as error:
        refused = str(error)
    if spec is not None:
        assert parse_spec(json.loads(spec.model_dump_json())) == spec
        return
    assert len(refused.splitlines()) == 1
    assert len(refused) < 1_100
    assert refused.encode()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "search.start_with",
            [{"method": "lora", "rank": float("nan")}],
            r"search\.start_with\.0\.rank: nan is no",
        ),
        ("search.start_with", [{"method": "lora", "a": nested(500, lambda one: [one])}], "nested too deeply"),
        ("search.start_with", [{"method": "lora", "a": nested(3, lambda one: {"b": one})}], r"start_with\.0\.a\.b = "),
        ("search.start_with", [{"\ud800": 1}], r"search\.start_with\.0: holds characters that are not text"),
        ("search.start_with", [{"method": "lora"}] * 1_001, "should have at most 1000 items"),
        ("search.start_from", ["a' OR 'b"], r"search\.start_from\.0 = "),
        ("search.trials", 10**400, r"search\.trials: a whole number beyond 64 bits"),
        ("search.trials", 10**9, r"search\.trials = 1000000000: .*1000000"),
        ("methods.lora.rank", [0xFF << 100_000], r"methods\.lora\.rank\.0: a whole number beyond 64 bits"),
        ("methods.lora.rank", list(range(100_001)), "more than 100,000 values"),
        ("data.label", "a\0b", r"data\.label: holds characters that are not text"),
        ("data.label", "\udcff", r"data\.label: holds characters that are not text"),
        ("data.label", "x" * 10_001, r"data\.label: a text of 10,001 characters; allowed: at most 10,000"),
        ("search.time_limit", 1e300, r"search\.time_limit = 1e\+300: "),
        ("resources.gpus", 1e300, r"resources\.gpus = 1e\+300: "),
    ],
)
def test_what_is_wrong_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_spec(with_field(field, value))


def test_settings_of_every_kind_may_begin_a_search() -> None:
    given_settings = {"method": "lora", "rank": 4, "scaling": 0.5, "targets": "qv", "a": None, "b": [1, "x"]}
    settings = [{**given_settings, "c": {"names": ["q", "v"]}, "d": True}]
    spec = parse_spec(with_field("search.start_with", settings))
    assert list(spec.search.start_with) == settings
    assert type(spec.search.start_with[0]["d"]) is bool
    assert type(spec.search.start_with[0]["rank"]) is int


def test_the_depth_is_that_of_lists_and_mappings_alike() -> None:
    check_plain(nested(16, lambda one: [one]))
    for wrap in (lambda one: [one], lambda one: {"a": one}, lambda one: (one,)):
        with pytest.raises(RequestError, match="nested too deeply; allowed: 16 levels"):
            check_plain(nested(17, wrap))


def test_a_long_message_keeps_its_ends() -> None:
    assert shortened("a" * 1_000) == "a" * 1_000
    assert shortened(" a\n\x85b\u2028 ") == "a b"
    said = shortened(f"field = {'x' * 5_000}; allowed: less")
    assert said.startswith("field = x")
    assert said.endswith("; allowed: less")
    assert len(said) < 1_000
