"""Callers of one key share a read, and none gets one that began before its call."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest

from search.service.cache.single_flight import SingleFlight
from spaces.errors import RequestError


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
