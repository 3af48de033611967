"""Exports wait for one another; what a killed one leaves is tidied up, and said in one line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from search.documents.service import ExportStatus
from search.service.jobs.exports import FOLDER, Export, file_of, request_export, status, statuses, submit_due
from search.service.jobs.ray_jobs import Job
from search.service.problems import Problem
from tests.search.service.alone import Alone, Kept
from tracking.mlflow_store.client import connect, reading
from tracking.mlflow_store.export_orders import ATTEMPT, IDENTITY, find_orders

pytestmark = pytest.mark.integration

FIRST, SECOND, THIRD = (Export(f"000{number}", "peft", None) for number in range(3))
LOG = "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\nTraceback\n x"


def ask(alone: Alone, jobs: Kept, export: Export) -> tuple[str, int | None]:
    found = request_export(alone.settings, jobs, "mine", export)
    return found.state, found.ahead


def look(alone: Alone, jobs: Kept, export: Export) -> ExportStatus:
    found = status(alone.settings, jobs, "mine", export.identity)
    assert found is not None
    return found


def dispatched(alone: Alone, jobs: Kept) -> None:
    with reading(alone.settings.tracking_uri) as client:
        submit_due(alone.settings, jobs, client)


def end(alone: Alone, jobs: Kept, name: str, export: Export, code: int = 0) -> None:
    """What an exporter leaves."""
    folder = alone.storage / "mine" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if code == 0:
        file_of(alone.settings, "mine", export.identity).touch()
        jobs.known[name] = Job(name, "succeeded", 0)
    else:
        (folder / f".{export.identity}~abc" / "half").mkdir(parents=True)
        jobs.known[name] = Job(name, "failed", code, LOG)


def test_one_at_a_time_in_the_order_in_which_they_were_asked_for(alone: Alone) -> None:
    jobs = Kept()
    assert [ask(alone, jobs, one) for one in (FIRST, SECOND, THIRD)] == [
        ("running", None),
        ("queued", 0),
        ("queued", 1),
    ]
    assert [ask(alone, jobs, one) for one in (THIRD, SECOND)] == [("queued", 1), ("queued", 0)]  # once each
    assert list(jobs.known) == ["export~mine~0000-peft~1"]
    end(alone, jobs, "export~mine~0000-peft~1", FIRST)
    dispatched(alone, jobs)
    dispatched(alone, jobs)
    assert [one.state for one in statuses(alone.settings, jobs, "mine")] == ["finished", "running", "queued"]
    jobs.known.clear()  # the cluster is lost
    dispatched(alone, jobs)
    assert [one.state for one in statuses(alone.settings, jobs, "mine")] == ["finished", "running", "queued"]
    end(alone, jobs, "export~mine~0001-peft~1", SECOND)
    dispatched(alone, jobs)
    end(alone, jobs, "export~mine~0002-peft~1", THIRD)
    dispatched(alone, jobs)
    with reading(alone.settings.tracking_uri) as client:
        assert find_orders(client) == []
    assert [one.state for one in statuses(alone.settings, jobs, "mine")] == ["finished"] * 3


def test_an_operator_may_have_more_run_at_once(alone: Alone) -> None:
    jobs, settings = Kept(), replace(alone.settings, max_exports=2)
    for one in (FIRST, SECOND, THIRD):
        request_export(settings, jobs, "mine", one)
    assert [one.state for one in statuses(settings, jobs, "mine")] == ["running", "running", "queued"]


def test_services_that_submit_at_once_submit_each_export_once(alone: Alone) -> None:
    jobs = Kept()
    with ThreadPoolExecutor(6) as threads:
        asked = [FIRST, SECOND, FIRST, SECOND, FIRST, SECOND]
        states = [
            found.state for found in threads.map(lambda one: request_export(alone.settings, jobs, "mine", one), asked)
        ]
        assert set(states) <= {"running", "queued"}
        for name, export in (("export~mine~0000-peft~1", FIRST), ("export~mine~0001-peft~1", SECOND)):
            if name in jobs.known:
                end(alone, jobs, name, export)
        list(threads.map(lambda _: dispatched(alone, jobs), range(6)))
    assert sorted(jobs.known) == ["export~mine~0000-peft~1", "export~mine~0001-peft~1"]


def test_no_more_wait_than_may(alone: Alone) -> None:
    jobs, settings = Kept(), replace(alone.settings, max_queued=2)
    for one in (FIRST, SECOND):
        request_export(settings, jobs, "mine", one)
    with pytest.raises(Problem) as refused:
        request_export(settings, jobs, "mine", THIRD)
    assert refused.value.status_code == 429


@pytest.mark.parametrize(
    ("code", "message"),
    [(-9, "its process was killed (SIGKILL)"), (1, "Job entrypoint command failed with exit code 1")],
)
def test_one_that_was_killed_leaves_nothing_and_is_tried_again(alone: Alone, code: int, message: str) -> None:
    jobs = Kept()
    ask(alone, jobs, FIRST)
    end(alone, jobs, "export~mine~0000-peft~1", FIRST, code)
    dispatched(alone, jobs)
    assert list((alone.storage / "mine" / FOLDER).iterdir()) == []
    assert (look(alone, jobs, FIRST).state, look(alone, jobs, FIRST).message) == ("failed", message)
    assert ask(alone, jobs, FIRST) == ("running", None)
    assert list(jobs.known) == ["export~mine~0000-peft~1", "export~mine~0000-peft~2"]


def test_foreign_jobs_and_spoiled_orders_cost_nobody(alone: Alone) -> None:
    jobs = Kept()
    for name in ("export~mine~0000-peft~x", "export~mine~0000-peft~", "export~mine", "export~mine~../../up~1"):
        jobs.known[name] = Job(name, "failed")
    ask(alone, jobs, FIRST)
    ask(alone, jobs, SECOND)
    client = connect(alone.settings.tracking_uri)
    spoiled = find_orders(client)[0].run_id
    for tag, value in ((ATTEMPT, "x"), (IDENTITY, "../../up"), (IDENTITY, "")):
        client.set_tag(spoiled, tag, value)
        dispatched(alone, jobs)
        assert look(alone, jobs, SECOND).state == "queued"
    assert [one.id for one in statuses(alone.settings, jobs, "mine")] == ["0000-peft", "0001-peft"]
