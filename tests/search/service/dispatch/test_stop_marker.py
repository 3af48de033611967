"""The stop marker is placed and removed as MLflow asks, whatever comes in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search.service.dispatch import stop_and_resume, stop_marker
from search.service.jobs.ray_jobs import Jobs
from search.storage import search_folder
from tests.search.service.alone import Alone
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import want_stop

pytestmark = pytest.mark.integration


@pytest.fixture
def begun(alone: Alone) -> str:
    """A search that was asked for and has begun."""
    assert alone.launch("mine").status_code == 201
    alone.begin(alone.spec("mine"))
    return "mine"


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
