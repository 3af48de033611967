"""Searches of commands are stopped and resumed by the service where it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.service.dispatch import stop_marker
from search.service.security.path_confinement import confine_spec
from search.storage import search_folder
from tests.search.service.alone import Alone
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import find_requests

pytestmark = pytest.mark.integration


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
