"""Events keep their content over a line, and log events become few requests without losing any."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Metric as MlflowMetric
from mlflow.entities import Param, RunTag
from mlflow.utils.validation import _validate_batch_log_limits

from tracking.writing.events import End, Event, Log, Metric, Start, Text, Upload, merge_logs, next_batch, parse, started

names = st.text("abc", min_size=1, max_size=2)
trials = st.sampled_from([None, "0001", "0002"])
values = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53).map(float)
metrics = st.builds(Metric, name=names, value=values, time=st.integers(0, 9), step=st.integers(0, 9))
logs = st.builds(
    Log,
    trial=trials,
    time=st.integers(0, 9),
    metrics=st.lists(metrics, max_size=4).map(tuple),
    params=st.dictionaries(names, st.text(max_size=3), max_size=3),
    tags=st.dictionaries(names, st.text(max_size=3), max_size=3),
)
others = st.one_of(
    st.builds(Start, trial=trials, time=st.just(1), name=names, tags=st.just({"a": "b"})),
    st.builds(Upload, trial=trials, time=st.just(1), path=names, artifact_path=st.none() | names),
    st.builds(Text, trial=trials, time=st.just(1), artifact_file=names, text=st.text(max_size=3)),
    st.builds(End, trial=trials, time=st.just(1), status=st.just("FAILED")),
)


def lines(events: list[Event]) -> list[bytes]:
    return [event.model_dump_json().encode() for event in events]


@given(logs | others)
def test_a_line_gives_its_event_back(event: Event) -> None:
    (line,) = lines([event])
    assert b"\n" not in line
    assert parse(line) == event


def test_a_metric_that_is_not_a_number_survives() -> None:
    log = Log(trial="0001", time=1, metrics=(Metric(name="quality", value=math.nan, time=1),))
    (line,) = lines([log])
    back = parse(line)
    assert isinstance(back, Log)
    assert math.isnan(back.metrics[0].value)


@pytest.mark.parametrize("line", [b"", b"{", b'{"event": "other"}', b'{"event": "end", "trial": null}', b"\xff"])
def test_what_is_no_event_is_none(line: bytes) -> None:
    assert parse(line) is None


@given(st.lists(logs | others, min_size=1, max_size=8))
def test_a_stretch_is_as_long_as_its_kinds_can_be_sorted(events: list[Event]) -> None:
    """Artifacts go alone, and a run that starts again does so behind all that was said of it before."""
    taken = next_batch(lines(events))
    assert taken == events[: len(taken)]
    alone = [isinstance(event, Upload | Text) for event in events]
    if alone[0]:
        assert len(taken) == 1
        return
    assert not any(alone[: len(taken)])
    for place, event in enumerate(taken):
        if isinstance(event, Start):
            assert event.trial not in {one.trial for one in taken[:place]}
    if len(taken) < len(events):
        following = events[len(taken)]
        again = isinstance(following, Start) and following.trial in {one.trial for one in taken}
        assert alone[len(taken)] or again


@given(st.lists(logs | others, max_size=8))
def test_what_started_is_known_from_the_lines(events: list[Event]) -> None:
    expected = {event.trial for event in events if isinstance(event, Start)}
    assert started([*lines(events), b"broken", b'{"event": "start"']) == expected


def test_a_stretch_ends_before_what_cannot_be_read() -> None:
    log = Log(trial=None, time=1)
    assert next_batch([*lines([log, log]), b"broken", *lines([log])]) == [log, log]
    assert next_batch([b"broken", *lines([log])]) == []
    assert next_batch([]) == []


@given(st.lists(logs, max_size=8))
def test_requests_say_what_the_events_said_with_the_last_tag(events: list[Log]) -> None:
    sent = list(merge_logs(events))
    for trial in (None, "0001", "0002"):
        said = [event for event in events if event.trial == trial]
        asked = [request for request in sent if request.trial == trial]
        assert [one for request in asked for one in request.metrics] == [one for event in said for one in event.metrics]
        tags: dict[str, str] = {}
        for event in said:
            tags |= event.tags
        assert [item for request in asked for item in request.tags.items()] == list(tags.items())
        assert {key for request in asked for key in request.params} == {key for event in said for key in event.params}
    assert len(sent) <= 3


@given(st.integers(0, 2500), st.integers(0, 130), st.integers(0, 130))
def test_requests_keep_to_mlflows_limits(metric_count: int, param_count: int, tag_count: int) -> None:
    event = Log(
        trial=None,
        time=1,
        metrics=tuple(Metric(name="m", value=1.0, time=1, step=step) for step in range(metric_count)),
        params={f"p{number}": "x" for number in range(param_count)},
        tags={f"t{number}": "x" for number in range(tag_count)},
    )
    sent = list(merge_logs([event]))
    for request in sent:
        _validate_batch_log_limits(
            [MlflowMetric(one.name, one.value, one.time, one.step) for one in request.metrics],
            [Param(*item) for item in request.params.items()],
            [RunTag(*item) for item in request.tags.items()],
        )
    assert sum(len(request.metrics) for request in sent) == metric_count
    assert sum(len(request.params) for request in sent) == param_count
    assert sum(len(request.tags) for request in sent) == tag_count


def test_a_metric_that_is_measured_once_stands_at_step_zero() -> None:
    line = b'{"event": "log", "trial": null, "time": 1, "metrics": [{"name": "budget", "value": 2.0, "time": 1}]}'
    event = parse(line)
    assert isinstance(event, Log)
    assert [(one.name, one.step) for one in event.metrics] == [("budget", 0)]
