"""How searches stand: one that cannot be read does not keep the others from being seen, and time off is no pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from search.service.dispatch.schedule import due, schedule
from search.service.status.eta import RECENT, seconds_left
from search.storage import search_folder
from spaces.model.budget import Budget
from tests.search.service.alone import Alone
from tests.tracking.examples import REFERENCE, finished, plan, trial_row
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import JobEnd, find_requests, record_attempt, record_end, want_run
from tracking.mlflow_store.run_records import TrialRun
from tracking.writing.search_writer import SearchWriter


@pytest.mark.integration
@pytest.mark.parametrize(
    ("written", "said"),
    [
        (lambda spec: spec[:-1], "Expecting"),
        (lambda spec: spec[:-1] + ', "gone": 1}', "gone: unknown field; allowed: "),
        (lambda spec: spec.replace('"max_steps": ', '"max_steps": -'), "training.max_steps = -"),
    ],
)
def test_a_spec_that_cannot_be_read_fails_alone(alone: Alone, written: Callable[[str], str], said: str) -> None:
    for name in ("first", "bad", "last"):
        assert alone.launch(name).status_code == 201
    alone.spoil("bad", written)
    found = {one["search"]: one for one in alone.http.get("/v1/searches").json()["searches"]}
    assert {name: one["state"] for name, one in found.items()} == {"first": "queued", "bad": "failed", "last": "queued"}
    assert found["bad"]["message"].startswith("its spec cannot be read (")
    assert said in found["bad"]["message"]
    assert alone.status("bad")["message"] == found["bad"]["message"]
    assert found["last"]["objective"] == {"metric": "accuracy", "mode": "max"}
    with reading(alone.settings.tracking_uri) as client:
        waiting = due(schedule(find_requests(client), {}, {}), 10)
    assert [one.name for one in waiting] == ["first", "last"]
    assert said in alone.http.get("/v1/searches/bad/spec").json()["detail"]
    assert alone.launch("bad").status_code == 409
    assert alone.launch("last").status_code == 200


@pytest.mark.integration
def test_a_spec_file_that_was_damaged_is_of_no_search_but_its_own(alone: Alone) -> None:
    for name in ("whole", "damaged"):
        alone.begin(alone.spec(name, search={"trials": 7}))
    (alone.storage / "damaged" / search_folder.SPEC).write_text("name: [")
    found = {one["search"]: one["planned"] for one in alone.http.get("/v1/searches").json()["searches"]}
    assert found == {"whole": 7, "damaged": None}


@pytest.mark.integration
def test_an_end_that_was_recorded_is_known_without_ray_until_the_search_is_asked_for_again(alone: Alone) -> None:
    alone.launch("mine")
    end = JobEnd(1, "failed", 'it is "wrong"\0: \u00e9' + "x" * 900)
    with reading(alone.settings.tracking_uri) as client:
        record_attempt(client, alone.request("mine"), 1)
        record_end(client, alone.request("mine"), end)
        assert alone.request("mine").ended == end
        assert (alone.status("mine")["state"], alone.status("mine")["message"]) == ("failed", end.message)
        want_run(client, alone.request("mine"), since=1)
    assert (alone.status("mine")["state"], alone.status("mine")["message"]) == ("queued", None)


@pytest.mark.integration
def test_a_search_of_a_deleted_experiment_says_so_until_it_is_restored(alone: Alone) -> None:
    alone.begin(alone.spec("mine"), "finished")
    with reading(alone.settings.tracking_uri) as client:
        experiment = client.get_experiment_by_name("paretune")
        assert experiment is not None
        client.delete_experiment(experiment.experiment_id)
        for path in ("", "/front", "/trials"):
            answer = alone.http.get(f"/v1/searches/mine{path}")
            assert answer.status_code == 404
            assert "its experiment paretune is deleted in MLflow; restore it: `mlflow" in answer.json()["detail"]
        client.restore_experiment(experiment.experiment_id)
    assert alone.status("mine")["state"] == "finished"


@pytest.mark.integration
def test_requests_that_were_deleted_are_no_empty_list(alone: Alone) -> None:
    alone.launch("mine")
    with reading(alone.settings.tracking_uri) as client:
        experiment = client.get_experiment_by_name("paretune-requests")
        assert experiment is not None
        client.delete_experiment(experiment.experiment_id)
    answer = alone.http.get("/v1/searches")
    assert answer.status_code == 503
    assert "MLflow experiment paretune-requests, which holds what was asked for, is deleted" in answer.json()["detail"]


@pytest.mark.integration
def test_a_running_search_says_how_long_its_trials_will_take(alone: Alone) -> None:
    spec = alone.spec("mine", search={"trials": 5})
    alone.begin(spec)
    writer = SearchWriter(alone.settings.tracking_uri, spec, "id of mine", spec.home)
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    writer.start_trial(plan("0000"))
    time.sleep(1)
    writer.end_trial(plan("0000"), finished(0.7))
    writer.start_trial(plan("0001"))
    writer.log_counts(finished=1, stopped=0, failed=0, rejected=0, hypervolume=None)
    assert writer.close(60) == 0
    (listed,) = alone.http.get("/v1/searches").json()["searches"]
    assert listed["eta_seconds"] is None  # it may have been stopped for days
    left = alone.status("mine")["eta_seconds"]
    assert 3.9 <= left < 60  # four trials of a second each


def took(number: int, seconds: float | None, trained: float, **more: Any) -> TrialRun:
    return replace(trial_row(f"{number:04d}", 0.7, 100, train_seconds=trained, **more), seconds=seconds)


def test_the_time_left_is_that_of_the_trials_that_are_left() -> None:
    ended = [took(number, 12.0, 10.0) for number in range(4)]
    running = [took(number, None, 0.0, state="running") for number in (4, 5)]
    assert seconds_left([REFERENCE, *ended, *running], 10) == pytest.approx(6 * 12 / 2)
    assert seconds_left([REFERENCE, *ended], 10) == pytest.approx(6 * 12)  # between two trials
    assert seconds_left([REFERENCE, *running], 10) is None
    assert seconds_left(ended, 4) is None


def test_time_in_which_a_search_did_not_run_is_not_its_pace() -> None:
    days = 3 * 86_400.0
    ended = [took(0, 12.0, 10.0), took(1, days, 10.0), took(2, 12.0, 10.0)]
    assert seconds_left([*ended, took(3, None, 0.0, state="running")], 5) == pytest.approx(2 * 12)


def test_the_pace_is_that_of_the_last_trials() -> None:
    early = [took(number, 1.0, 1.0) for number in range(50)]
    late = [took(50 + number, 100.0, 100.0) for number in range(RECENT)]
    assert seconds_left([*early, *late], 50 + RECENT + 1) == pytest.approx(100)
