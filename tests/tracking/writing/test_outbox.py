"""The outbox against senders that fail in every way; real MLflow is in test_delivery.py and test_server.py."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracking.writing.delivery import Refused
from tracking.writing.events import End, Event, Log, Start, Text
from tracking.writing.outbox import Outbox

LONG = 30.0


class Receiver:
    """Takes events, unless `fault` raises."""

    def __init__(self, fault: Callable[[Sequence[Event]], None] | None = None) -> None:
        self.taken: list[Event] = []
        self.calls: list[int] = []
        self.called = threading.Event()
        self.started: list[AbstractSet[str | None]] = []
        self._fault = fault

    def take_over(self, started: AbstractSet[str | None]) -> None:
        self.started.append(started)

    def send(self, events: Sequence[Event]) -> None:
        self.calls.append(len(events))
        self.called.set()
        if self._fault:
            self._fault(events)
        self.taken.extend(events)


def log(number: int, trial: str = "0001") -> Log:
    return Log(trial=trial, time=number, tags={"number": str(number)})


def start(trial: str) -> Start:
    return Start(trial=trial, time=1, name=trial, tags={})


def failing(times: int) -> Callable[[Sequence[Event]], None]:
    """A fault that passes after so many calls."""
    left = iter(range(times))

    def fault(events: Sequence[Event]) -> None:
        if next(left, None) is not None:
            raise ConnectionError("nothing answers")

    return fault


def held(released: threading.Event) -> Callable[[Sequence[Event]], None]:
    """A fault that keeps every call waiting."""

    def fault(events: Sequence[Event]) -> None:
        released.wait(LONG)

    return fault


def test_events_arrive_once_and_in_order(tmp_path: Path) -> None:
    receiver = Receiver()
    outbox = Outbox(tmp_path, receiver)
    events: list[Event] = [log(1), log(2), End(trial="0001", time=3, status="FINISHED"), log(4, "0002"), log(5)]
    for event in events:
        outbox.append(event)
    assert outbox.close(LONG) == 0
    assert receiver.taken == events
    assert outbox.history() == events


def test_what_waits_together_is_sent_together(tmp_path: Path) -> None:
    """The first call is held until all others were recorded; they then go in one."""
    recorded = threading.Event()
    receiver = Receiver(held(recorded))
    outbox = Outbox(tmp_path, receiver)
    outbox.append(log(0))
    assert receiver.called.wait(LONG)
    outbox.append(*(log(number) for number in range(1, 101)))
    recorded.set()
    assert outbox.close(LONG) == 0
    assert receiver.calls == [1, 100]


def test_what_comes_within_a_moment_is_sent_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a trial, and the start of the next one after it was asked for."""
    monkeypatch.setattr("tracking.writing.outbox._GATHERING", LONG)
    receiver = Receiver()
    outbox = Outbox(tmp_path, receiver)
    events: list[Event] = [log(1), End(trial="0001", time=2, status="FINISHED"), start("0002"), log(3, "0002")]
    outbox.append(events[0])
    assert not receiver.called.wait(0.3)
    for event in events[1:]:
        outbox.append(event)
    assert outbox.close(LONG) == 0
    assert receiver.calls == [4]
    assert receiver.taken == events


def test_a_call_under_way_at_the_end_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    receiver = Receiver(held(released))
    outbox = Outbox(tmp_path, receiver)
    outbox.append(log(1))
    assert receiver.called.wait(LONG)
    join = outbox._thread.join

    def released_join(timeout: float) -> None:
        released.set()
        join(LONG)

    monkeypatch.setattr(outbox._thread, "join", released_join)
    assert outbox.close(0.0) == 0
    assert receiver.taken == [log(1)]


def test_a_sender_is_told_what_others_may_have_sent_before_it_sends(tmp_path: Path) -> None:
    first = Receiver(failing(10**9))
    outbox = Outbox(tmp_path, first)
    while not first.started:
        time.sleep(0.01)
    outbox.append(start("0001"), log(1))
    outbox.close(0.3)
    outbox = Outbox(tmp_path, Receiver())
    outbox.append(start("0002"))
    assert outbox.close(LONG) == 0
    receiver = Receiver()
    outbox = Outbox(tmp_path, receiver)
    while not receiver.started:
        time.sleep(0.01)
    outbox.append(start("0003"))
    assert outbox.close(LONG) == 0
    assert first.started == [set()]
    assert receiver.started == [{"0001", "0002"}]


def test_a_caller_never_waits_for_the_sender(tmp_path: Path) -> None:
    """Two thousand events are recorded while the first call does not come back."""
    released = threading.Event()
    receiver = Receiver(held(released))
    outbox = Outbox(tmp_path, receiver)
    for number in range(200):
        outbox.append(*(log(10 * number + position) for position in range(10)))
    assert receiver.taken == []
    assert outbox.drain(0.05) == 2000
    released.set()
    assert outbox.close(LONG) == 0
    assert receiver.taken == [log(number) for number in range(2000)]


def test_a_slow_receiver_is_waited_for_while_it_takes_events(tmp_path: Path) -> None:
    """After an outage many events wait, and sending them all takes longer than the patience with a silent receiver."""
    receiver = Receiver(lambda events: time.sleep(0.2))
    outbox = Outbox(tmp_path, receiver)
    texts = [Text(trial="0001", time=number, artifact_file="spec.yaml", text="") for number in range(10)]
    outbox.append(*texts)  # each is sent alone
    assert outbox.drain(1.0) == 0
    assert receiver.taken == texts
    outbox.close(LONG)


def test_failures_are_tried_again_and_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(failing(4))
    with caplog.at_level(logging.WARNING, "tracking"):
        outbox = Outbox(tmp_path, receiver)
        outbox.append(log(1))
        assert outbox.close(LONG) == 0
    assert receiver.taken == [log(1)]
    assert len(receiver.calls) == 5
    assert [record.message for record in caplog.records] == [
        "MLflow takes no events; they are kept and tried again: nothing answers"
    ]


def test_what_was_not_sent_waits_for_the_next_outbox(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, Receiver(failing(10**9)))
    outbox.append(log(1), log(2))
    assert outbox.close(0.3) == 2
    receiver = Receiver()
    again = Outbox(tmp_path, receiver)
    again.append(log(3))
    assert again.close(LONG) == 0
    assert receiver.taken == [log(1), log(2), log(3)]


def test_a_second_outbox_waits_until_a_stuck_call_of_the_first_is_over(tmp_path: Path) -> None:
    """Else both would look for a run, find none, and make it twice."""
    released = threading.Event()
    stuck = Receiver(held(released))
    first = Outbox(tmp_path, stuck)
    first.append(log(1))
    assert stuck.called.wait(LONG)
    assert first.close(0.0) == 1
    receiver = Receiver()
    second = Outbox(tmp_path, receiver)
    second.append(log(2))
    assert second.drain(0.5) == 2
    assert receiver.calls == []
    released.set()
    assert second.close(LONG) == 0
    assert stuck.taken + receiver.taken == [log(1), log(2)]


def test_a_refused_event_is_named_and_dropped_and_its_neighbours_arrive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(events: Sequence[Event]) -> None:
        if log(3) in events:
            raise Refused("not with that name")

    receiver = Receiver(fault)
    home = tmp_path / "home"
    waiting = Outbox(home, Receiver(failing(10**9)))
    waiting.append(*(log(number) for number in range(6)))
    waiting.close(0.0)
    with caplog.at_level(logging.WARNING, "tracking.writing.outbox"):
        caplog.clear()
        assert Outbox(home, receiver).close(LONG) == 0
    assert receiver.taken == [log(number) for number in (0, 1, 2, 4, 5)]
    dropped = [record.message for record in caplog.records if "dropped" in record.message]
    assert len(dropped) == 1
    assert "not with that name" in dropped[0]
    assert '"number":"3"' in dropped[0]


def test_a_line_that_is_no_event_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = log(1).model_dump_json().encode()
    (tmp_path / "outbox.jsonl").write_bytes(good + b'\n{"event": "from the future"}\n' + good + b"\n")
    receiver = Receiver()
    with caplog.at_level(logging.WARNING, "tracking.writing.outbox"):
        outbox = Outbox(tmp_path, receiver)
        assert outbox.close(LONG) == 0
    assert receiver.taken == [log(1), log(1)]
    assert "from the future" in caplog.text
    assert outbox.history() == [log(1), log(1)]


def test_deleting_the_offset_sends_everything_again(tmp_path: Path) -> None:
    Outbox(tmp_path, Receiver()).close(LONG)
    first = Outbox(tmp_path, Receiver())
    first.append(log(1), log(2))
    assert first.close(LONG) == 0
    (tmp_path / "outbox.offset").unlink()
    receiver = Receiver()
    assert Outbox(tmp_path, receiver).close(LONG) == 0
    assert receiver.taken == [log(1), log(2)]


kinds = st.sampled_from(["log", "end", "refused"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(kinds, max_size=12), faults=st.integers(0, 2))
def test_nothing_is_lost_or_doubled_or_turned_round(
    tmp_path_factory: pytest.TempPathFactory, events: list[str], faults: int
) -> None:
    """Of any mix of events, all but the refused arrive exactly once and in order, whatever fails for a while."""
    failures = failing(faults)

    def fault(sent: Sequence[Event]) -> None:
        failures(sent)
        if any(event.trial == "bad" for event in sent):
            raise Refused("bad")

    made: list[Event] = [
        End(trial="0001", time=number, status="KILLED")
        if kind == "end"
        else log(number, "bad" if kind == "refused" else "0001")
        for number, kind in enumerate(events)
    ]
    receiver = Receiver(fault)
    outbox = Outbox(tmp_path_factory.mktemp("home"), receiver)
    for event in made:
        outbox.append(event)
    assert outbox.close(LONG) == 0
    assert receiver.taken == [event for event in made if event.trial != "bad"]


def test_whoever_waits_for_events_waits_for_no_others_to_join_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = threading.Event()
    monkeypatch.setattr("tracking.writing.outbox._GATHERING", LONG)
    outbox = Outbox(tmp_path, Receiver())
    wait_for = outbox._changed.wait_for

    def noted(predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        if timeout == LONG:
            gathering.set()
        return wait_for(predicate, timeout)

    monkeypatch.setattr(outbox._changed, "wait_for", noted)
    outbox.append(log(1))
    assert gathering.wait(LONG)
    assert outbox.drain(3.0) == 0
    assert outbox.close(LONG) == 0
