"""Stop and resume: whatever happens meanwhile, what was asked for last comes to pass, or one line says why not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.service.dispatch import stop_and_resume, stop_marker
from search.service.jobs import search_job
from search.service.jobs.ray_jobs import Jobs
from search.service.routes import searches
from search.service.security.path_confinement import confine_spec
from search.storage import search_folder
from tests.search.service.alone import Alone, alone_in, client_of
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import LaunchRequest, add_request, find_requests, want_run, want_stop

pytestmark = pytest.mark.integration


@pytest.fixture
def begun(alone: Alone) -> str:
    """A search that was asked for and has begun."""
    assert alone.launch("mine").status_code == 201
    alone.begin(alone.spec("mine"))
    return "mine"


def stop(alone: Alone, name: str) -> None:
    stop_and_resume.stop(alone.settings, Jobs(alone.settings.ray_jobs), name)


def resume(alone: Alone, name: str) -> None:
    stop_and_resume.resume(alone.settings, Jobs(alone.settings.ray_jobs), name)


def first(meanwhile: Callable[[], None], then: Callable[[Path], None], turn: int = 1) -> Callable[[Path], None]:
    """Does something else before what is to be done at a certain turn."""
    turns = 0

    def done(home: Path) -> None:
        nonlocal turns
        turns += 1
        if turns == turn:
            meanwhile()
        then(home)

    return done


def test_stop_and_resume_are_said_and_the_mark_goes_with_them(alone: Alone, begun: str) -> None:
    home = alone.storage / begun
    assert alone.http.post(f"/v1/searches/{begun}/stop").status_code == 202
    assert (alone.request(begun).wanted, stop_marker.has_stop_marker(home)) == ("stop", True)
    assert alone.http.post(f"/v1/searches/{begun}/resume").status_code == 202
    assert (alone.request(begun).wanted, stop_marker.has_stop_marker(home)) == ("run", False)


@pytest.mark.parametrize("begins", [True, False])
def test_a_driver_does_not_begin_what_is_to_stop(
    alone: Alone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], begins: bool
) -> None:
    """It was submitted before anybody could know."""
    alone.launch("mine")
    if not begins:
        alone.begin(alone.spec("mine"))
    with reading(alone.settings.tracking_uri) as client:
        want_stop(client, alone.request("mine"))
    places = ["--storage", str(alone.storage), "--tracking-uri", alone.settings.tracking_uri]
    monkeypatch.setattr(sys, "argv", ["driver", "mine", *places])
    assert search_job.main() == 1  # not 0, which would say that the search ended by a limit of its own
    assert capsys.readouterr().err.splitlines()[-1] == "paretune: search 'mine' is to stop, and was not begun"
    assert search_folder.exists(alone.storage / "mine") != begins


def test_a_stop_that_found_no_folder_is_passed_on_later(alone: Alone) -> None:
    alone.launch("mine")
    with reading(alone.settings.tracking_uri) as client:
        want_stop(client, alone.request("mine"))
    assert not stop_marker.place_stop_marker(alone.settings, "mine")
    alone.begin(alone.spec("mine"))
    assert stop_marker.place_stop_marker(alone.settings, "mine")
    assert stop_marker.has_stop_marker(alone.storage / "mine")


def test_a_mark_that_is_laid_late_is_taken_back(alone: Alone, begun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody resumes the search while a dispatcher is about to lay the mark."""
    with reading(alone.settings.tracking_uri) as client:
        want_stop(client, alone.request(begun))
    late = first(lambda: resume(alone, begun), search_folder.ask_to_stop)
    monkeypatch.setattr(search_folder, "ask_to_stop", late)
    assert stop_marker.place_stop_marker(alone.settings, begun)
    assert (alone.request(begun).wanted, stop_marker.has_stop_marker(alone.storage / begun)) == ("run", False)


@pytest.mark.parametrize("turn", [1, 2])
def test_a_stop_in_the_middle_of_a_resume(alone: Alone, begun: str, monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    """The mark of a stop may be taken back by a resume that came before it; a dispatcher lays it again."""
    late = first(lambda: stop(alone, begun), search_folder.take_back_stop, turn)
    monkeypatch.setattr(search_folder, "take_back_stop", late)
    resume(alone, begun)
    wanted = alone.request(begun).wanted
    assert wanted == ("run" if turn == 1 else "stop")
    assert not stop_marker.has_stop_marker(alone.storage / begun)
    if wanted == "stop":
        assert stop_marker.place_stop_marker(alone.settings, begun)
        assert stop_marker.has_stop_marker(alone.storage / begun)


def test_a_dispatcher_that_lays_marks_in_the_middle_of_a_resume(
    alone: Alone, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(alone, begun)

    def said(client: Any, request: Any, since: int) -> None:
        stop_marker.place_stop_marker(alone.settings, begun)
        assert stop_marker.has_stop_marker(alone.storage / begun)
        want_run(client, request, since)

    monkeypatch.setattr(stop_and_resume, "want_run", said)
    resume(alone, begun)
    assert (alone.request(begun).wanted, stop_marker.has_stop_marker(alone.storage / begun)) == ("run", False)


def test_a_search_of_a_command_is_stopped_and_resumed(alone: Alone) -> None:
    uri = alone.settings.tracking_uri
    alone.begin(alone.spec("ours", tracking={"uri": uri}))
    home = alone.storage / "ours"
    with search_folder.held(home):  # by the process that runs it
        refused = alone.http.post("/v1/searches/ours/resume")
        assert refused.status_code == 409
        assert refused.json()["detail"] == "search 'ours': is being run by a command; allowed: one that nobody runs"
        assert alone.status("ours")["state"] == "running"
        stopped = alone.http.post("/v1/searches/ours/stop")
        assert (stopped.status_code, stopped.json()["state"]) == (202, "stopping")
        assert stop_marker.has_stop_marker(home)
    refused = alone.http.post("/v1/searches/ours/stop")
    assert refused.status_code == 409
    assert refused.json()["detail"] == "search 'ours': nobody runs it; allowed: one that runs"
    assert alone.http.post("/v1/searches/ours/resume").status_code == 202
    assert not stop_marker.has_stop_marker(home)
    request = alone.request("ours")
    assert (request.wanted, request.spec) == ("run", confine_spec(alone.spec("ours"), alone.settings))
    assert alone.launch("ours").status_code == 200
    assert alone.http.post("/v1/searches/ours/resume").status_code == 202
    assert alone.request("ours").run_id == request.run_id


def test_a_search_of_a_command_that_the_service_may_not_run(alone: Alone, tmp_path: Path) -> None:
    alone.begin(alone.spec("outside", data={"train": "/etc/passwd"}), "stopped")
    alone.begin(alone.spec("apart", search={"study_storage": "sqlite:///studies.db"}), "stopped")
    alone.begin(alone.spec("elsewhere", storage=str(tmp_path / "another")), "stopped")
    reasons = {
        "outside": (422, "data.train = /etc/passwd: nothing that the service may read; allowed: paths in "),
        "apart": (422, "search.study_storage: the service has its own; allowed: nothing"),
        "elsewhere": (409, f"search 'elsewhere': was begun by a command, and not in {alone.storage}; allowed: "),
        "nobody": (404, "search 'nobody': not known; allowed: one of GET /v1/searches"),
    }
    for name, (status, line) in reasons.items():
        refused = alone.http.post(f"/v1/searches/{name}/resume")
        assert refused.status_code == status
        assert refused.json()["detail"].startswith(line)
    for name in ("elsewhere", "nobody"):
        refused = alone.http.post(f"/v1/searches/{name}/stop")
        assert (refused.status_code, refused.json()["detail"][:20]) == (reasons[name][0], reasons[name][1][:20])
    with reading(alone.settings.tracking_uri) as client:
        assert find_requests(client) == []


def test_another_search_of_that_name_in_the_storage_is_not_the_one(alone: Alone, tmp_path: Path) -> None:
    alone.begin(alone.spec("mine", storage=str(tmp_path / "another")), "stopped")
    search_folder.create(alone.spec("mine"), search_folder.Identity("one of which MLflow knows nothing", {}, None))
    for verb in ("stop", "resume"):
        assert "was begun by a command, and not in" in alone.http.post(f"/v1/searches/mine/{verb}").json()["detail"]


def test_a_search_of_a_command_that_is_finished_stays_so(alone: Alone) -> None:
    alone.begin(alone.spec("ours"), "finished")
    search_folder.mark_finished(alone.storage / "ours")
    assert alone.http.post("/v1/searches/ours/resume").json()["state"] == "finished"
    assert alone.http.post("/v1/searches/ours/stop").status_code == 409
    with reading(alone.settings.tracking_uri) as client:
        assert find_requests(client) == []


@pytest.mark.parametrize("verb", ["stop", "resume"])
def test_a_storage_that_is_away_is_one_line(alone: Alone, begun: str, verb: str) -> None:
    away = Path("/", "s" * 300)  # as good as one that answers with an error: no system takes such a name
    http = client_of(replace(alone.settings, storage=away))
    answer = http.post(f"/v1/searches/{begun}/{verb}")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith(f"storage {away}: ")
    assert "File name too long" in answer.json()["detail"]
    assert alone.request(begun).wanted == "run"
    assert http.get(f"/v1/searches/{begun}").json()["state"] == "running"


def test_no_more_searches_wait_than_may_however_many_ask_at_once(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*given: Any) -> tuple[LaunchRequest, bool]:  # while the others count those that wait
        time.sleep(1)
        return add_request(*given)

    monkeypatch.setattr(searches, "add_request", slowly)
    alone = alone_in(tmp_path, empty_database, max_queued=3)
    names = [f"s{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as threads:
        answers = list(threads.map(lambda name: alone.launch(name).status_code, names))
    assert sorted(answers) == [201] * 3 + [429] * 5
    with reading(alone.settings.tracking_uri) as client:
        assert len(find_requests(client)) == 3


def test_a_search_whose_spec_cannot_be_read_is_not_resumed(alone: Alone) -> None:
    alone.launch("mine")
    alone.spoil("mine", lambda spec: "{}")
    refused = alone.http.post("/v1/searches/mine/resume")
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("search 'mine': its spec cannot be read (name: missing")
