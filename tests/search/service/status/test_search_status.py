"""The status of searches, read from MLflow, the requests and Ray."""

from __future__ import annotations

import pytest

from search.service.dispatch.dispatcher import dispatch
from search.service.jobs.exit_codes import AWAY
from search.service.jobs.ray_jobs import Job
from tests.search.service.alone import Alone, Kept, client_of
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import JobEnd, record_attempt, record_end, want_run


@pytest.mark.integration
def test_a_search_that_waits_says_for_what(alone: Alone) -> None:
    alone.launch("mine")
    app = client_of(alone.settings)
    known = Kept()
    dispatch(alone.settings, known)
    known.known["mine~1"] = Job("mine~1", "failed", AWAY, "storage /nowhere: Input/output error")
    app.app.state.context.jobs.all = known.all  # type: ignore[attr-defined]
    status = app.get("/v1/searches/mine").json()
    assert (status["state"], status["message"]) == ("queued", "is tried again: storage /nowhere: Input/output error")
    dispatch(alone.settings, known)
    assert "mine~2" in known.known


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
