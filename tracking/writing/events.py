"""Events of a search for MLflow, one a line of the outbox, and how they are batched into few requests.

An event names its run by the trial's id, None for the run of the search; MLflow's run ids are looked up by tags. Every
event may be sent twice without harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

# Below MLflow's limits (1,000 metrics, 100 params, 100 tags, 1,000 together, 1 MB a request), because params hold up to
# 6,000 characters and tags up to 8,000.
_METRICS_A_REQUEST = 800
_TEXTS_A_REQUEST = 50


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    trial: str | None
    time: int = Field(description="Milliseconds since the epoch.")


class Start(_Event):
    """A run starts. Its tags are set as it is created, so that no reader sees it without them."""

    event: Literal["start"] = "start"
    name: str
    tags: dict[str, str]


class Metric(BaseModel):
    """One value of a metric."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    name: str
    value: float
    time: int
    step: int = 0


class Log(_Event):
    """Metrics, params and tags of a run."""

    event: Literal["log"] = "log"
    metrics: tuple[Metric, ...] = ()
    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class Upload(_Event):
    """A file, or all files of a folder, become artifacts; they must exist until the event is sent."""

    event: Literal["upload"] = "upload"
    path: str
    artifact_path: str | None


class Text(_Event):
    """A text becomes an artifact."""

    event: Literal["text"] = "text"
    artifact_file: str
    text: str


class End(_Event):
    """A run ends."""

    event: Literal["end"] = "end"
    status: Literal["FINISHED", "FAILED", "KILLED"]


Event = Annotated[Start | Log | Upload | Text | End, Field(discriminator="event")]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def parse(line: bytes) -> Event | None:
    """Return the event in a line of the outbox; None when it cannot be read."""
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError:
        return None


def next_batch(lines: Sequence[bytes]) -> list[Event]:
    """Return the events of the longest prefix of `lines` that may be sent together.

    Starts, log events and ends of any runs go together as long as no run starts twice, so that all starts can be sent
    before all logs, and these before all ends. An upload or a text is sent alone.

    Returns:
        The events; empty when the first line cannot be read.
    """
    events: list[Event] = []
    for event in map(parse, lines):
        alone = isinstance(event, Upload | Text)
        again = isinstance(event, Start) and any(one.trial == event.trial for one in events)
        if event is None or (events and (alone or again)):
            break
        events.append(event)
        if alone:
            break
    return events


def started(lines: Sequence[bytes]) -> set[str | None]:
    """Return the trials of the start events in `lines`; None for the search itself."""
    starts = (parse(line) for line in lines if b'"start"' in line)  # parsing all lines would take too long
    return {event.trial for event in starts if isinstance(event, Start)}


def merge_logs(events: Sequence[Log]) -> Iterator[Log]:
    """Yield the metrics, params and tags of log events in as few events as MLflow's limits allow, run by run.

    Of two values of a tag the later one is kept.
    """
    for trial in dict.fromkeys(event.trial for event in events):
        mine = [event for event in events if event.trial == trial]
        metrics = [metric for event in mine for metric in event.metrics]
        params = [item for event in mine for item in event.params.items()]
        tags = list({key: value for event in mine for key, value in event.tags.items()}.items())
        while metrics or params or tags:
            yield Log(
                trial=trial,
                time=mine[-1].time,
                metrics=tuple(metrics[:_METRICS_A_REQUEST]),
                params=dict(params[:_TEXTS_A_REQUEST]),
                tags=dict(tags[:_TEXTS_A_REQUEST]),
            )
            del metrics[:_METRICS_A_REQUEST], params[:_TEXTS_A_REQUEST], tags[:_TEXTS_A_REQUEST]
