"""Stop and resume: whatever happens meanwhile, what was asked for last comes to pass, or one line says why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.service.dispatch import stop_and_resume, stop_marker
from search.service.jobs.ray_jobs import Jobs
from search.storage import search_folder
from tests.search.service.alone import Alone, client_of
from tracking.mlflow_store.launch_requests import want_run

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


def test_a_search_whose_spec_cannot_be_read_is_not_resumed(alone: Alone) -> None:
    alone.launch("mine")
    alone.spoil("mine", lambda spec: "{}")
    refused = alone.http.post("/v1/searches/mine/resume")
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("search 'mine': its spec cannot be read (name: missing")
