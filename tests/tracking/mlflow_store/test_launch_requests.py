"""Requests for searches are kept in MLflow: what is wanted, how many jobs there were, and how the last one ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.errors import RequestError, WorkError
from tests.tracking.examples import make_spec
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.launch_requests import (
    ATTEMPTS,
    EXPERIMENT,
    MAX_CHARACTERS,
    SPEC,
    WANTED,
    JobEnd,
    add_request,
    find_requests,
    record_attempt,
    record_end,
    want_run,
    want_stop,
)


def test_a_request_comes_back_as_it_was_made_and_only_once(uri: str, storage: Path) -> None:
    client, spec = connect(uri), make_spec(storage, "demo")
    assert find_requests(client) == []
    made, is_own = add_request(client, spec)
    assert is_own
    assert (made.name, made.spec, made.wanted, made.attempts, made.since, made.ended, made.flaw) == (
        ("demo", spec, "run", 0, 0, None, "")
    )
    other = spec.model_copy(update={"search": spec.search.model_copy(update={"seed": 9})})
    assert add_request(client, other) == (made, False)
    add_request(client, make_spec(storage, "later"))
    assert [one.name for one in find_requests(client)] == ["demo", "later"]
    assert find_requests(client, "demo") == [made]


def test_what_is_wanted_and_what_the_jobs_did_is_recorded(uri: str, storage: Path) -> None:
    client = connect(uri)
    request, _ = add_request(client, make_spec(storage, "demo"))
    for _ in range(2):  # by two services
        record_attempt(client, request, 2)
        record_end(client, request, JobEnd(2, "failed", "it is full"))
    want_stop(client, request)
    (found,) = find_requests(client)
    assert (found.wanted, found.attempts, found.ended) == ("stop", 2, JobEnd(2, "failed", "it is full"))
    want_run(client, request, since=2)
    (found,) = find_requests(client)
    assert (found.wanted, found.since) == ("run", 2)


def test_a_long_spec_comes_back_whole_and_one_that_is_too_long_is_refused(uri: str, storage: Path) -> None:
    client, spec = connect(uri), make_spec(storage, "demo")
    longer = tuple({"method": "lora", "rank": number} for number in range(1, 1_000))
    long = spec.model_copy(update={"search": spec.search.model_copy(update={"start_with": longer})})
    made, _ = add_request(client, long)
    held = client.get_run(made.run_id).data.tags
    assert sum(key.startswith(f"{SPEC}.") for key in held) > 5
    assert made.readable_spec() == long
    longest = [{"method": "m" * MAX_CHARACTERS}]
    with pytest.raises(RequestError, match=f"allowed: at most {MAX_CHARACTERS:,}"):
        add_request(client, spec.model_copy(update={"search": spec.search.model_copy(update={"start_with": longest})}))


@pytest.mark.parametrize(
    ("tag", "value", "flaw"),
    [
        (ATTEMPTS, "many", f"its record in MLflow cannot be read (tag {ATTEMPTS}: "),
        (WANTED, "pause", f"its record in MLflow cannot be read (tag {WANTED}: "),
        (f"{SPEC}.0", "{", "its spec cannot be read ("),
    ],
)
def test_a_spoiled_request_has_a_flaw_and_comes_last(uri: str, storage: Path, tag: str, value: str, flaw: str) -> None:
    client = connect(uri)
    bad, _ = add_request(client, make_spec(storage, "bad"))
    add_request(client, make_spec(storage, "good"))
    client.set_tag(bad.run_id, tag, value)
    good, found = find_requests(client)
    assert (good.name, good.flaw, found.name, found.spec) == ("good", "", "bad", None)
    assert found.flaw.startswith(flaw)
    with pytest.raises(RequestError, match="search 'bad': its "):
        found.readable_spec()


def test_requests_of_a_deleted_experiment_are_not_none(uri: str, storage: Path) -> None:
    client = connect(uri)
    add_request(client, make_spec(storage, "demo"))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(WorkError, match="is deleted; restore it: `mlflow experiments restore"):
        find_requests(client)
