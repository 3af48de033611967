"""What many ask for at once is read once, and nobody is given what was read before a search ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Lock

import pytest

from search.service.cache import trial_cache as module
from search.service.cache.single_flight import SingleFlight
from search.service.cache.trial_cache import SearchSnapshot, TrialCache
from spaces.errors import RequestError
from spaces.model.budget import Budget
from tests.tracking.examples import finished, make_spec, plan
from tracking.mlflow_store.client import connect, reading
from tracking.mlflow_store.runs import list_searches
from tracking.writing.search_writer import SearchWriter


def test_all_who_ask_meanwhile_share_the_next_reading() -> None:
    begun, go_on, count, lock = Event(), Event(), 0, Lock()

    def read(_: str) -> int:
        nonlocal count
        with lock:
            count += 1
            mine = count
        begun.set()
        assert go_on.wait(10)
        return mine

    shared = SingleFlight(read)
    with ThreadPoolExecutor(12) as threads:
        first = threads.submit(shared, "a")
        assert begun.wait(10)
        later = [threads.submit(shared, "a") for _ in range(10)]
        while sum(one.running() for one in later) < 10:
            time.sleep(0.01)
        time.sleep(0.2)  # until each of them waits
        go_on.set()
        assert first.result(10) == 1
        assert {one.result(10) for one in later} == {2}


def test_nobody_is_given_what_was_read_before_it_asked() -> None:
    """Whoever counts up and then asks is given its own count or a later one."""
    value, lock = 0, Lock()

    def read(_: str) -> int:
        seen = value
        time.sleep(0.001)
        return seen

    shared, barrier = SingleFlight(read), Barrier(8)

    def work() -> None:
        nonlocal value
        barrier.wait()
        for _ in range(50):
            with lock:
                value += 1
                mine = value
            assert shared("a") >= mine

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(work) for _ in range(8)]:
            done.result(60)


def test_an_error_is_told_to_all_and_kept_for_nobody() -> None:
    answers = iter([RequestError("away"), 1])

    def read(_: str) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    shared = SingleFlight(read)
    with pytest.raises(RequestError, match="away"):
        shared("a")
    assert shared("a") == 1


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
