"""A record that somebody spoiled, or that another version wrote, costs its own search and no other."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from search.command_process import command
from search.service.dispatch.dispatcher import dispatch
from search.service.jobs.ray_jobs import Job
from search.service.status.search_status import local_status
from search.storage import search_folder
from spaces.errors import RequestError
from spaces.model.budget import Budget
from tests.search.service.alone import TAG, Alone, Kept
from tests.tracking.examples import finished, plan, search_row
from tracking.mlflow_store import tags
from tracking.mlflow_store.client import connect, reading
from tracking.mlflow_store.launch_requests import (
    ATTEMPTS,
    ENDED,
    MAX_CHARACTERS,
    SINCE,
    WANTED,
    JobEnd,
    add_request,
    find_requests,
    record_end,
)
from tracking.mlflow_store.runs import find_search, scan_searches, scan_trials
from tracking.queries import searches_document
from tracking.writing.search_writer import SearchWriter

pytestmark = pytest.mark.integration

GONE = None
LONG = "9" * 4_000

REQUESTS: list[tuple[str, str | None]] = [
    *((ATTEMPTS, value) for value in ("x", "", "-1", "1.5", LONG, "1e400", "\0", GONE)),
    *((SINCE, value) for value in ("x", "-1", GONE)),
    *((WANTED, value) for value in ("pause", "", "RUN", GONE)),
    *((ENDED, value) for value in ("x", "{}", "[]", "null", '{"attempt": 1, "state": "paused"}', "[" * 4_000)),
    *((ENDED, json.dumps({"attempt": one, "state": "failed"})) for one in ("x", None, [1])),
    *((tags.SEARCH, value) for value in ("../../up", "a b", "x" * 200, "last", GONE)),
    *((TAG, value) for value in ("", "{", "[]", "null", "1", "[" * 4_000, '{"name": "\\ud800"}', GONE)),
    (f"{TAG[:-1]}x", "{}"),
]

FACTS = search_row().facts.model_dump(mode="json")

SEARCHES: list[tuple[str, str | None]] = [
    *((tags.FACTS, value) for value in ("x", "", "{}", "[]", "[" * 4_000, GONE)),
    (tags.FACTS, json.dumps(FACTS | {"budget": {"parameters": -5, "at_least": 50}})),
    (tags.FACTS, json.dumps(FACTS | {"budget": {"parameters": 50, "at_least": -50}})),
    (tags.FACTS, json.dumps(FACTS | {"perfect": 1e400}).replace("Infinity", "1e400")),
    *((tags.STATE, value) for value in ("asleep", "", "Running", LONG)),
    *((tags.SEARCH, value) for value in ("../../up", "a b", GONE)),
    *((tags.SEARCH_ID, value) for value in ("", GONE)),
]


def spoilt(alone: Alone, run: str, values: list[tuple[str, str | None]]) -> Iterator[tuple[str, str | None]]:
    """One after the other; each is taken back."""
    client = connect(alone.settings.tracking_uri)
    for tag, value in values:
        before = client.get_run(run).data.tags.get(tag)
        client.delete_tag(run, tag) if value is None and before is not None else client.set_tag(run, tag, value)
        yield tag, value
        client.delete_tag(run, tag) if before is None else client.set_tag(run, tag, before)


def listed(alone: Alone) -> dict[str, dict[str, Any]]:
    answer = alone.http.get("/v1/searches?limit=200")
    assert answer.status_code == 200, answer.text
    return {one["search"]: one for one in answer.json()["searches"]}


def test_a_spoiled_request_costs_itself(alone: Alone) -> None:
    for name in ("first", "bad", "last"):
        assert alone.launch(name).status_code == 201
    run = alone.request("bad").run_id
    for tag, value in spoilt(alone, run, REQUESTS):
        case = f"{tag} = {value!r:.60}"
        found = listed(alone)
        shown = next((one for name, one in found.items() if name not in ("first", "last")), None)
        assert (found["first"]["state"], found["last"]["state"]) == ("queued", "queued"), case
        if shown is not None:
            assert shown["state"] in ("failed", "stopped"), case
            assert "cannot be read (" in shown["message"], case
        assert alone.status("first")["state"] == "queued", case
        assert alone.http.get("/metrics").status_code == 200, case
        jobs = Kept()
        dispatch(replace(alone.settings, max_running=10), jobs)
        assert sorted(jobs.known) == ["first~1", "last~1"], case
        with reading(alone.settings.tracking_uri) as client:
            for one in find_requests(client):
                if one.flaw == "":
                    client.set_tag(one.run_id, ATTEMPTS, "0")
    assert listed(alone)["bad"]["state"] == "queued"


def test_a_spoiled_search_costs_itself(alone: Alone) -> None:
    for name in ("first", "last"):
        alone.launch(name)
        alone.begin(alone.spec(name), "finished")
    alone.launch("bad")
    alone.begin(alone.spec("bad"))
    with reading(alone.settings.tracking_uri) as client:
        run = scan_searches(client, "bad")[0].run_id
    for tag, value in spoilt(alone, run, SEARCHES):
        case = f"{tag} = {value!r:.60}"
        found = listed(alone)
        assert (found["first"]["state"], found["last"]["state"]) == ("finished", "finished"), case
        assert found["bad"]["state"] == "failed", case
        assert "its record in MLflow cannot be read (MLflow run " in found["bad"]["message"], case
        assert alone.http.get("/v1/searches/first/front").status_code == 200, case
        jobs = Kept()
        dispatch(alone.settings, jobs)
        assert jobs.known == {}, case
        document = searches_document(alone.settings.tracking_uri)
        assert [one.search for one in document.searches] == ["last", "first"], case
        assert [(one.search, one.run_id) for one in document.unreadable] == [("bad", run)], case
    assert listed(alone)["bad"]["state"] == "running"


@pytest.mark.parametrize("metric", [("finished", -5.0), ("finished", 1e308), ("hypervolume", 7.0)])
def test_numbers_that_no_search_logs_cost_their_search(alone: Alone, metric: tuple[str, float]) -> None:
    for name in ("first", "bad"):
        alone.begin(alone.spec(name))
    client = connect(alone.settings.tracking_uri)
    (run,) = [one.run_id for one in scan_searches(client, "bad")]
    client.log_metric(run, *metric)
    assert listed(alone)["first"]["state"] == "running"
    for name in ("first", "bad"):
        assert alone.http.get(f"/v1/searches/{name}").status_code == 200


def test_what_a_later_version_adds_is_passed_over(alone: Alone) -> None:
    alone.launch("mine")
    alone.begin(alone.spec("mine"), "stopped")
    client = connect(alone.settings.tracking_uri)
    (row,) = scan_searches(client, "mine")
    held = client.get_run(row.run_id).data.tags
    facts = json.loads(held[tags.FACTS])
    facts["budget"]["of_tomorrow"], facts["of_tomorrow"] = 1, {"a": [1]}
    client.set_tag(row.run_id, tags.FACTS, json.dumps(facts))
    request = alone.request("mine")
    record_end(client, request, JobEnd(1, "stopped"))
    ended = json.loads(client.get_run(request.run_id).data.tags[ENDED]) | {"of_tomorrow": None}
    client.set_tag(request.run_id, ENDED, json.dumps(ended))
    client.set_tag(request.run_id, "paretune.of_tomorrow", "x")
    client.set_tag(request.run_id, ATTEMPTS, "1")
    assert scan_searches(client, "mine") == [row]
    assert alone.request("mine").ended == JobEnd(1, "stopped")
    assert alone.status("mine")["state"] == "stopped"
    identity = alone.storage / "mine" / search_folder.IDENTITY
    identity.write_text(json.dumps(json.loads(identity.read_text()) | {"of_tomorrow": 1}))
    assert search_folder.read(alone.storage / "mine")[1].search_id == "id of mine"
    # Of a spec that only the later version reads nothing final is said.
    alone.spoil("mine", lambda spec: spec[:-1] + ', "of_tomorrow": 1}')
    client.delete_tag(request.run_id, ENDED)
    jobs = Kept()
    jobs.known["mine~1"] = Job("mine~1", "failed", 2)
    dispatch(alone.settings, jobs)
    assert list(jobs.known) == ["mine~1"]
    assert ENDED not in client.get_run(request.run_id).data.tags


@pytest.mark.parametrize(
    "value", ["x", "{}", json.dumps(plan("0001").model_dump() | {"trial": "../../up"}), None], ids=repr
)
def test_a_spoiled_trial_costs_itself(alone: Alone, value: str | None) -> None:
    spec = alone.spec("mine")
    alone.begin(spec)
    writer = SearchWriter(alone.settings.tracking_uri, spec, "id of mine", spec.home)
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    for trial, quality in (("0000", 0.6), ("0001", 0.9), ("0002", 0.7)):
        writer.start_trial(plan(trial))
        writer.end_trial(plan(trial), finished(quality))
    assert writer.close(60) == 0
    client = connect(alone.settings.tracking_uri)
    before = alone.http.get("/v1/searches/mine/trials").json()["trials"]
    run = next(one["run_id"] for one in before if one["trial"] == "0001")
    client.delete_tag(run, tags.PLAN) if value is None else client.set_tag(run, tags.PLAN, value)
    other = Alone(alone.settings, type(alone.http)(alone.http.app, base_url="http://127.0.0.1"))
    other.http.app.state.context.trials._kept.clear()  # type: ignore[attr-defined]
    trials = other.http.get("/v1/searches/mine/trials").json()["trials"]
    assert [one for one in trials if one["run_id"] != run] == [one for one in before if one["run_id"] != run]
    (lost,) = (one for one in trials if one["run_id"] == run)
    assert (lost["trial"], lost["state"], lost["quality"]) == ("0001", "failed", None)
    assert f"MLflow run {run}: tag paretune.plan" in lost["reason"]
    front = other.http.get("/v1/searches/mine/front").json()["front"]
    assert [one["trial"] for one in front] == ["0002"]
    assert "1 of its trainings cannot be read" in other.status("mine")["message"]


def test_commands_leave_a_spoiled_trial_out_as_the_service_does(alone: Alone) -> None:
    spec, uri = alone.spec("mine"), alone.settings.tracking_uri
    alone.begin(spec)
    writer = SearchWriter(uri, spec, "id of mine", spec.home)
    for trial, quality in (("0000", 0.6), ("0001", 0.9)):
        writer.start_trial(plan(trial))
        writer.end_trial(plan(trial), finished(quality))
    assert writer.close(60) == 0
    with reading(uri) as client:
        run = next(row.run_id for row in scan_trials(client, find_search(client, "mine")) if row.plan.trial == "0001")
        client.set_tag(run, tags.PLAN, "x")
    for name in ("front", "trials"):
        options = ["--tracking-uri", uri, "--storage", str(alone.storage), "--json"]
        done = subprocess.run(command([name, "mine", *options]), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (line,) = done.stderr.splitlines()
        named = f"trial 0001 counts as failed, its record cannot be read: MLflow run {run}: tag paretune.plan"
        assert line.startswith(named)
        assert json.loads(done.stdout) == alone.http.get(f"/v1/searches/mine/{name}").json()
    status = local_status(uri, alone.storage, "mine")
    assert status.message == alone.status("mine")["message"]
    assert "1 of its trainings cannot be read" in (status.message or "")


def test_a_spec_too_long_to_be_read_again_and_again_is_refused(alone: Alone) -> None:
    long = [{"method": "m" * 10_000}] * (MAX_CHARACTERS // 10_000)
    spec = alone.spec("long", search={"start_with": long})
    with reading(alone.settings.tracking_uri) as client, pytest.raises(RequestError, match="at most 200,000"):
        add_request(client, spec)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"name: [", b"- 1", b"x" * 11_000_000], ids=["bytes", "yaml", "list", "size"]
)
def test_a_spoiled_spec_in_mlflow_costs_whoever_asks_for_it(alone: Alone, content: bytes) -> None:
    for name in ("first", "bad"):
        alone.begin(alone.spec(name), "stopped")
    with reading(alone.settings.tracking_uri) as client:
        (bad,) = scan_searches(client, "bad")
    (file,) = alone.settings.storage.parent.glob(f"**/{bad.run_id}/artifacts/spec.yaml")
    file.write_bytes(content)
    refused = alone.http.get("/v1/searches/bad/spec")
    assert refused.status_code in (422, 503)
    assert "spec" in refused.json()["detail"]
    assert alone.launch("bad").status_code in (409, 422, 503)
    assert alone.http.get("/v1/searches/first/spec").status_code == 200
    assert {one["state"] for one in listed(alone).values()} == {"stopped"}
