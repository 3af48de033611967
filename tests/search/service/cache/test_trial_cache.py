"""What many ask for at once is read once, and nobody is given what was read before a search ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from search.service.cache import trial_cache as module
from search.service.cache.trial_cache import SearchSnapshot, TrialCache
from spaces.errors import RequestError
from spaces.model.budget import Budget
from tests.tracking.examples import finished, make_spec, plan
from tracking.mlflow_store.client import connect, reading
from tracking.mlflow_store.runs import list_searches
from tracking.writing.search_writer import SearchWriter


@pytest.fixture
def uri(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/mlflow.db"
    connect(made)
    return made


@pytest.fixture
def writer(tmp_path: Path, uri: str) -> Iterator[SearchWriter]:
    """A search that runs, with one trial."""
    spec = make_spec(tmp_path)
    spec.home.mkdir()
    one = SearchWriter(uri, spec, "id", spec.home)
    one.start_search(Budget(50_000, 50), 1_000_000, 770)
    add(one, "0000", 0.6)
    yield one
    one.close(60)


def add(writer: SearchWriter, trial: str, quality: float) -> None:
    writer.start_trial(plan(trial))
    writer.end_trial(plan(trial), finished(quality))
    assert writer.drain(60) == 0


def look(uri: str, cache: TrialCache) -> None:
    """As a service does that is asked how searches stand."""
    with reading(uri) as client:
        cache.note_states(list_searches(client))


def grow_old(read: SearchSnapshot) -> None:
    """Wait until what was read is given to nobody, with no patience beyond that for what takes long."""
    time.sleep(5 * (read.ended - read.began))


@pytest.mark.integration
def test_a_search_is_read_once_for_all_and_again_when_it_ended(uri: str, writer: SearchWriter) -> None:
    cache = TrialCache(uri)
    look(uri, cache)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: cache.get("demo"), range(8)))
    before = cache.get("demo")
    assert len({id(one) for one in found} | {id(before)}) <= 2
    assert before.json(before.trials_document()) is before.json(before.trials_document())
    add(writer, "0001", 0.7)
    writer.end_search("finished")
    assert writer.drain(60) == 0
    look(uri, cache)
    after = cache.get("demo")
    assert [one.trial for one in after.trials_document().trials] == ["0000", "0001"]
    assert after.front_document().front[-1].trial == "0001"
    with pytest.raises(RequestError, match="nearest: demo"):
        cache.get("demi")


@pytest.mark.integration
def test_what_is_old_is_given_while_it_is_read_again(
    uri: str, writer: SearchWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = TrialCache(uri)
    old = cache.get("demo")
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    add(writer, "0001", 0.7)
    deadline = time.monotonic() + 30
    while len(cache.get("demo").trials) == 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(old.trials) == 1
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    add(writer, "0002", 0.8)
    grow_old(cache.get("demo"))
    assert len(cache.get("demo").trials) == 3  # what was kept is too old to be given


@pytest.mark.integration
def test_the_trials_of_a_search_that_ended_are_kept(
    uri: str, writer: SearchWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.end_search("finished")
    assert writer.drain(60) == 0
    cache = TrialCache(uri)
    first = cache.get("demo")
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    grow_old(first)
    assert cache.get("demo").trials is first.trials
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    add(writer, "0001", 0.7)
    grow_old(first)
    assert len(cache.get("demo").trials) == 2
