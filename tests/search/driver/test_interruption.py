"""Killed at any moment, a search goes on: nothing finished is trained again, nothing is lost or doubled."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import weakref

import psutil
import pytest

from search.driver.interruption import EndWhenInterrupted, Interruption
from tests.conftest import Workplace
from tests.search.processes import results, wait_for, workers


@pytest.mark.cluster
def test_resume_after_the_driver_was_killed(workplace: Workplace) -> None:
    steps = {"max_steps": 540}
    spec = workplace.spec(
        training=steps,
        search={"trials": 4, "rungs": 3, "concurrent": 2},
        confirm={"top": 1, "seeds": 1},
    )
    driver = workplace.start("search", str(spec))
    wait_for(lambda: len(results(workplace)) >= 2, driver)
    trainers = workers(psutil.Process(driver.pid).children(recursive=True))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    # Workers end with their driver; wait, so that none of them writes a result after we looked.
    assert not psutil.wait_procs(trainers, timeout=120)[1]
    before = results(workplace)
    done = workplace.call("resume", "mine")
    assert done.returncode == 0, done.stderr
    after = results(workplace)
    assert {path: after[path] for path in before} == before
    trials = workplace.read("trials", "mine")
    assert [trial["state"] for trial in trials["trials"]] == ["finished"] * 4
    assert [trial["trial"] for trial in trials["trials"]] == [f"{number:04d}" for number in range(4)]
    doctor = workplace.read("doctor", "mine")
    assert doctor["problems"] == []
    for path in after:
        expected = [540] if path.parent.name == "reference" else [60, 180, 540]
        assert [rung["step"] for rung in json.loads(path.read_text())["rungs"]] == expected


@pytest.mark.cluster
def test_ctrl_c_once_ends_cleanly_twice_at_once_and_both_go_on(workplace: Workplace) -> None:
    steps = {"max_steps": 540}
    confirm = {"top": 1, "seeds": 1}
    spec = workplace.spec(training=steps, search={"trials": 4, "rungs": 3}, confirm=confirm)
    driver = workplace.start("search", str(spec))
    wait_for(lambda: len(results(workplace)) >= 1, driver)
    driver.send_signal(signal.SIGINT)
    time.sleep(0.2)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert errors.strip().splitlines()[-1] == "paretune: interrupted; `paretune resume mine` goes on", errors

    before = results(workplace)

    def interrupt() -> None:
        wait_for(lambda: len(results(workplace)) >= len(before) + 1)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    done = workplace.call("resume", "mine")
    sender.join()
    assert done.returncode == 0, done.stderr
    assert "Ended early: interrupted (SIGINT). `paretune resume mine` goes on." in done.stdout
    assert (workplace.home / "front.png").is_file()
    between = results(workplace)
    assert len(between) < 5
    assert not list(workplace.home.glob("trials/*-confirm-*"))
    doctor = workplace.read("doctor", "mine")
    assert doctor["problems"] == []

    done = workplace.call("resume", "mine")
    assert done.returncode == 0, done.stderr
    after = results(workplace)
    assert {path: after[path] for path in between} == between
    trials = workplace.read("trials", "mine")
    assert [trial["state"] for trial in trials["trials"]] == ["finished"] * 4
    assert len(trials["confirmations"]) == 1
    assert workplace.read("doctor", "mine")["problems"] == []


def test_a_second_signal_is_not_lost_while_garbage_is_collected() -> None:
    class Garbage:
        pass

    def collect() -> None:
        garbage = Garbage()
        signalled = weakref.ref(garbage, lambda _: signal.raise_signal(signal.SIGINT))
        del garbage
        assert signalled() is None
        time.sleep(30)

    interruption = Interruption()
    with interruption.watch():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            collect()
    assert interruption.reason == "interrupted (SIGINT)"


def test_a_second_signal_is_not_lost_while_python_is_busy() -> None:
    """Signals that come while one call runs reach Python's handler as one."""

    def send_twice() -> None:
        for _ in range(2):
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

    def compute() -> None:
        sender.start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000)

    interruption = Interruption()
    sender = threading.Thread(target=send_twice)
    with interruption.watch(), pytest.raises(KeyboardInterrupt):
        compute()
    sender.join()
    assert interruption.reason == "interrupted (SIGINT)"


def test_a_time_limit_is_a_reason_to_end_once_it_has_passed() -> None:
    interruption = Interruption(0.2)
    stopper = EndWhenInterrupted(interruption)
    assert not stopper.stop_all()
    assert not stopper("trial", {})
    time.sleep(0.25)
    assert stopper.stop_all()
    assert interruption.ended == "search.time_limit = 0.2 s has passed"
    assert Interruption().reason is None
