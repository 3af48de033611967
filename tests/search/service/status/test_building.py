"""How searches stand: one that cannot be read does not keep the others from being seen, and time off is no pace."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from search.service.dispatch.schedule import due, schedule
from search.storage import search_folder
from spaces.model.budget import Budget
from tests.search.service.alone import Alone
from tests.tracking.examples import finished, plan
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import find_requests
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
