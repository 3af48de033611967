"""Records on runs are read, or said to be spoiled, one by one."""

from __future__ import annotations

import json
import math
import sys

import pytest
from mlflow.entities import Metric, Run, RunData, RunInfo, RunTag

from spaces.errors import WorkError
from tests.tracking.examples import plan, search_row
from tracking.mlflow_store import tags
from tracking.mlflow_store.run_records import (
    SpoiledSearch,
    is_number,
    name_of,
    parse_search,
    parse_search_or_flaw,
    parse_trial,
    parse_trial_or_flaw,
    started_of,
)


def run(tagged: dict[str, str], metrics: dict[str, float] | None = None, start: int = 5, name: str = "x") -> Run:
    info = RunInfo("id", "0", "user", "RUNNING", start, 2_005, "active", run_name=name)
    measured = [Metric(key, value, 0, 0) for key, value in (metrics or {}).items()]
    return Run(info, RunData(metrics=measured, tags=[RunTag(key, value) for key, value in tagged.items()]))


TRIAL = {tags.PLAN: plan("0001").model_dump_json(), tags.STATE: "finished", tags.TRIAL: "0001", tags.METHOD: "lora"}
SEARCH = {
    tags.FACTS: search_row().facts.model_dump_json(),
    tags.STATE: "running",
    tags.SEARCH: "demo",
    tags.SEARCH_ID: "an id",
}


def test_a_trial_comes_back_with_its_finite_metrics_and_its_time() -> None:
    row = parse_trial(run(TRIAL, {"quality": 0.7, "steps": math.inf, "loss": math.nan, "top": sys.float_info.max}))
    assert (row.plan, row.state, row.quality, row.seconds) == (plan("0001"), "finished", 0.7, 2.0)
    assert row.metrics == {"quality": 0.7}
    assert parse_trial(run(TRIAL | {tags.STATE: "stopped"}, {"quality": 0.7})).quality is None


def test_a_search_comes_back_with_its_facts() -> None:
    row = parse_search(run(SEARCH | {tags.REASON: ""}))
    assert (row.name, row.search_id, row.state, row.started, row.reason) == ("demo", "an id", "running", 5, None)
    assert row.facts == search_row().facts


def changed(text: str, **values: object) -> str:
    return json.dumps(json.loads(text) | values)


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        (tags.PLAN, "{", "tag paretune.plan is not a TrialPlan"),
        (tags.PLAN, changed(TRIAL[tags.PLAN], trial="../up"), "tag paretune.plan is of no trial"),
        (tags.PLAN, changed(TRIAL[tags.PLAN], trainable_parameters=-1), "tag paretune.plan is of no trial"),
        (tags.STATE, "asleep", "tag paretune.state = 'asleep' is none of"),
    ],
)
def test_a_spoiled_trial_is_a_failed_one_that_says_why(tag: str, value: str, said: str) -> None:
    spoiled = run(TRIAL | {tag: value}, {"quality": 0.7})
    with pytest.raises(WorkError, match=f"^MLflow run id: {said}"):
        parse_trial(spoiled)
    row = parse_trial_or_flaw(spoiled)
    assert (row.plan.trial, row.plan.method, row.state, row.spoiled) == ("0001", "lora", "failed", True)
    assert (row.metrics, row.quality) == ({}, None)
    assert (row.reason or "").startswith(f"MLflow run id: {said}")
    assert not parse_trial_or_flaw(run(TRIAL)).spoiled


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        (tags.SEARCH, "../up", "tag paretune.search = '../up' is no name"),
        (tags.SEARCH_ID, None, "tag paretune.search_id is missing"),
        (tags.STATE, "x" * 500, f"tag paretune.state = '{'x' * 100}' is none of"),
        (tags.FACTS, "[]", "tag paretune.facts is not a SearchFacts"),
        (
            tags.FACTS,
            changed(SEARCH[tags.FACTS], budget={"parameters": 1, "at_least": 2}),
            "tag paretune.facts is of no",
        ),
    ],
)
def test_a_spoiled_search_says_why(tag: str, value: str | None, said: str) -> None:
    tagged = {key: held for key, held in (SEARCH | {tag: value}).items() if held is not None}
    found = parse_search_or_flaw(run(tagged, name="theirs"))
    assert isinstance(found, SpoiledSearch)
    assert found.flaw.startswith(f"MLflow run id: {said}")
    assert found.name == ("theirs" if tag == tags.SEARCH else "demo")
    assert not isinstance(parse_search_or_flaw(run(SEARCH)), SpoiledSearch)


def test_a_field_of_a_later_version_is_passed_over() -> None:
    later = TRIAL | {tags.PLAN: changed(TRIAL[tags.PLAN], of_tomorrow=1)}
    assert parse_trial(run(later)).plan == plan("0001")


@pytest.mark.parametrize("start", [0, -1, 253_402_300_799_001])
def test_a_start_that_cannot_be_is_zero(start: int) -> None:
    assert started_of(run(SEARCH, start=start)) == 0
    with pytest.raises(WorkError, match=f"start_time = {start} is no moment"):
        parse_search(run(SEARCH, start=start))


def test_the_name_of_a_run_is_that_of_its_tag_or_its_own_or_its_id() -> None:
    assert name_of(run(SEARCH, name="other")) == "demo"
    assert name_of(run({tags.SEARCH: "a b"}, name="other")) == "other"
    assert name_of(run({}, name="../up")) == "id"


@pytest.mark.parametrize(
    ("value", "finite"),
    [(0.5, True), (-1e300, True), (math.inf, False), (math.nan, False), (-sys.float_info.max, False)],
)
def test_what_a_database_keeps_of_an_infinity_is_no_number(value: float, finite: bool) -> None:
    assert is_number(value) is finite
