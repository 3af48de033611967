"""The dispatcher submits, passes stops on, and records ends, each search apart from the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.service.dispatch import stop_marker
from search.service.dispatch.dispatcher import dispatch
from search.service.dispatch.schedule import schedule
from spaces.errors import WorkError
from tests.search.service.alone import Alone, Kept, client_of
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import (
    find_requests,
    want_stop,
)


@pytest.mark.integration
def test_a_stop_is_passed_on_to_a_driver_though_ray_is_away(alone: Alone) -> None:
    alone.launch("mine")
    alone.begin(alone.spec("mine"))
    with reading(alone.settings.tracking_uri) as client:
        want_stop(client, alone.request("mine"))
    away = client_of(alone.settings).app.state.context.jobs  # type: ignore[attr-defined]
    with pytest.raises(WorkError, match="Ray at "):
        dispatch(alone.settings, away)
    assert stop_marker.has_stop_marker(alone.storage / "mine")


@pytest.mark.integration
def test_what_goes_wrong_with_one_search_keeps_no_other_from_being_submitted(alone: Alone) -> None:
    for name in ("cursed", "second", "third"):
        alone.launch(name)
    jobs = Kept()
    dispatch(replace(alone.settings, max_running=10), jobs)
    assert sorted(jobs.known) == ["second~1", "third~1"]
    with reading(alone.settings.tracking_uri) as client:
        (cursed,) = (one for one in schedule(find_requests(client), jobs.known, {}) if one.phase == "queued")
    assert cursed.request.name == "cursed"


@pytest.mark.integration
def test_what_was_asked_for_first_is_submitted_first(alone: Alone) -> None:
    for name in ("first", "second", "third"):
        alone.launch(name)
    jobs = Kept()
    dispatch(alone.settings, jobs)
    assert list(jobs.known) == ["first~1"]
    dispatch(replace(alone.settings, max_running=2), jobs)
    assert list(jobs.known) == ["first~1", "second~1"]
