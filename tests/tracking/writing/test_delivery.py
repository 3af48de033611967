"""Events in a real MLflow: found again by tag, never doubled, also when the writer is killed in between."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from spaces.spec.spec import SearchSpec
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.tags import KIND, SEARCH_ID, TRIAL
from tracking.writing.delivery import Delivery, Refused
from tracking.writing.events import End, Event, Log, Metric, Start, Text, Upload
from tracking.writing.outbox import Outbox
from tracking.writing.search_writer import SearchWriter

PARENT = Start(trial=None, time=1_000, name="demo", tags={KIND: "search", SEARCH_ID: "id"})
CHILD = Start(trial="0001", time=2_000, name="0001 lora", tags={KIND: "trial", SEARCH_ID: "id", TRIAL: "0001"})


@pytest.fixture
def delivery(uri: str, storage: Path) -> Delivery:
    return Delivery(uri, "paretune", "id", storage)


def send(delivery: Delivery, *events: Event) -> None:
    for event in events:
        delivery.send([event])


def test_events_sent_twice_are_as_if_sent_once(delivery: Delivery, uri: str, storage: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("content")
    events: list[Event] = [
        PARENT,
        CHILD,
        Log(
            trial="0001",
            time=3_000,
            metrics=(Metric(name="quality", value=0.5, time=3_000, step=10),),
            params={"rank": "2"},
            tags={"colour": "red"},
        ),
        Upload(trial="0001", time=3_500, path=str(tmp_path / "folder"), artifact_path="adapter"),
        Text(trial=None, time=3_500, artifact_file="spec.yaml", text="name: demo"),
        End(trial="0001", time=4_000, status="FINISHED"),
    ]
    send(delivery, *events)
    send(delivery, *events)
    send(Delivery(uri, "paretune", "id", storage), *events)  # one that remembers nothing
    client = connect(uri)
    parent, child = sorted(client.search_runs(["1"]), key=lambda run: run.info.start_time)
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (parent.info.run_name, child.info.run_name) == ("demo", "0001 lora")
    assert (child.info.start_time, child.info.end_time, child.info.status) == (2_000, 4_000, "FINISHED")
    assert (child.data.params, child.data.tags["colour"]) == ({"rank": "2"}, "red")
    assert [(one.step, one.value) for one in client.get_metric_history(child.info.run_id, "quality")] == [(10, 0.5)]
    assert [file.path for file in client.list_artifacts(child.info.run_id, "adapter")] == ["adapter/file"]
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["spec.yaml"]


def test_a_run_that_nobody_can_have_made_is_not_looked_for(
    delivery: Delivery, uri: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial takes one request to start, one for all that is logged of it, and one to end."""
    asked: list[str] = []

    def counting(name: str) -> None:
        of = getattr(MlflowClient, name)

        def counted(client: MlflowClient, *given: object, **named: object) -> object:
            asked.append(name)
            return of(client, *given, **named)

        monkeypatch.setattr(MlflowClient, name, counted)

    delivery.take_over(set())
    delivery.send([PARENT])
    for name in ("search_runs", "create_run", "log_batch", "set_terminated"):
        counting(name)
    logs = [Log(trial="0001", time=3_000, tags={name: "yes"}) for name in ("one", "two")]
    delivery.send(
        [logs[0].model_copy(update={"trial": None}), CHILD, *logs, End(trial="0001", time=4, status="KILLED")]
    )
    assert asked == ["create_run", "log_batch", "log_batch", "set_terminated"]  # the search's own log is one more
    delivery.send([CHILD])
    later = Delivery(uri, "paretune", "id", storage)
    later.take_over({None, "0001"})
    later.send([CHILD])
    assert len(connect(uri).search_runs(["1"])) == 2


def test_a_run_whose_making_was_not_answered_is_looked_for(
    delivery: Delivery, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MlflowClient.create_run

    def unanswered(*given: object, **named: object) -> None:
        made(*given, **named)
        raise ConnectionError("the answer was lost")

    delivery.take_over(set())
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", unanswered)
        with pytest.raises(ConnectionError):
            delivery.send([PARENT])
    delivery.send([PARENT])
    assert len(connect(uri).search_runs(["1"])) == 1


def test_a_run_that_starts_again_is_running_again(delivery: Delivery, uri: str) -> None:
    send(delivery, PARENT, End(trial=None, time=2_000, status="FAILED"), PARENT)
    (run,) = connect(uri).search_runs(["1"])
    assert run.info.status == "RUNNING"


def test_searches_and_trials_of_other_searches_are_not_taken_for_ours(
    delivery: Delivery, uri: str, storage: Path
) -> None:
    other = {SEARCH_ID: "other"}
    send(
        Delivery(uri, "paretune", "other", storage),
        PARENT.model_copy(update={"tags": PARENT.tags | other}),
        CHILD.model_copy(update={"tags": CHILD.tags | other}),
    )
    send(delivery, PARENT, CHILD, Log(trial="0001", time=1, tags={"mine": "yes"}))
    runs = connect(uri).search_runs(["1"])
    assert len(runs) == 4
    assert [run.data.tags[SEARCH_ID] for run in runs if "mine" in run.data.tags] == ["id"]


def test_another_runs_id_in_the_environment_changes_nothing(
    delivery: Delivery, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(uri)
    foreign = client.create_run("0")
    monkeypatch.setenv("MLFLOW_RUN_ID", foreign.info.run_id)
    send(delivery, PARENT, CHILD, Log(trial="0001", time=1, tags={"colour": "red"}))
    assert len(client.search_runs(["1"])) == 2
    assert "colour" not in client.get_run(foreign.info.run_id).data.tags


def test_what_mlflow_refuses_is_told_apart_from_what_fails(delivery: Delivery, uri: str, tmp_path: Path) -> None:
    send(delivery, PARENT, CHILD)
    bad_name = Log(trial="0001", time=1, params={"no|such|name": "1"})
    gone = Upload(trial="0001", time=1, path=str(tmp_path / "gone"), artifact_path=None)
    for event in (bad_name, gone, Log(trial="0099", time=1, tags={"a": "b"})):
        with pytest.raises(Refused):
            delivery.send([event])
    client = connect(uri)
    for run in client.search_runs(["1"]):
        client.delete_run(run.info.run_id)
    with pytest.raises(Refused):
        delivery.send([Log(trial="0001", time=1, tags={"a": "b"})])


def test_a_server_that_is_not_there_is_a_failure_and_no_refusal(storage: Path) -> None:
    with pytest.raises(Exception, match=r"127\.0\.0\.1") as error:
        Delivery("http://127.0.0.1:9", "paretune", "id", storage).send([PARENT])
    assert not isinstance(error.value, Refused)


def test_one_bad_event_does_not_keep_the_others_back(
    delivery: Delivery, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tracking.writing.outbox"):
        outbox = Outbox(tmp_path / "home", delivery)
        outbox.append(
            PARENT,
            CHILD,
            Log(trial="0001", time=1, tags={"before": "1"}),
            Log(trial="0001", time=1, params={"no|such|name": "1"}),
            Log(trial="0001", time=1, tags={"after": "1"}),
        )
        assert outbox.close(60) == 0
    (child,) = connect(uri).search_runs(["1"], f"tags.`{KIND}` = 'trial'")
    assert {"before", "after"} <= set(child.data.tags)
    assert child.data.params == {}
    assert "no|such|name" in caplog.text


def test_a_store_that_fails_for_long_holds_nothing_else_back(
    delivery: Delivery, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow itself answers, but its artifacts would lie in a folder that is a file."""
    (storage / "mlartifacts").write_text("in the way")
    (tmp_path / "file").write_text("content")
    send(delivery, PARENT)
    uploads: list[Event] = [
        Upload(trial=None, time=1, path=str(tmp_path / "file"), artifact_path=None),
        Text(trial=None, time=1, artifact_file="spec.yaml", text="name: demo"),
    ]
    for event in uploads:
        with pytest.raises(Exception, match="mlartifacts") as error:
            delivery.send([event])
        assert not isinstance(error.value, Refused)
    monkeypatch.setattr("tracking.writing.delivery._STORE_PATIENCE", 0.0)
    for event in uploads:
        with pytest.raises(Refused, match=r"the artifact store fails: .*mlartifacts"):
            delivery.send([event])
    (storage / "mlartifacts").unlink()
    monkeypatch.undo()
    send(delivery, *uploads)
    assert {path.name for path in (storage / "mlartifacts").rglob("*") if path.is_file()} == {"file", "spec.yaml"}


KILLED = """
import os, signal, sys, threading
from pathlib import Path
from mlflow import MlflowClient
from spaces.model.budget import Budget
from tests.tracking.examples import finished, make_spec, plan
from tracking.writing.search_writer import SearchWriter

call, count, uri, storage = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
real = getattr(MlflowClient, call)
recorded = threading.Event()

def fatal(*arguments, **named):
    global count
    recorded.wait()
    result = real(*arguments, **named)
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(MlflowClient, call, fatal)
spec = make_spec(storage)
writer = SearchWriter(uri, spec, "id", spec.home)
writer.start_search(Budget(50_000, 50), 1_000_000, 770)
writer.start_trial(plan("0000"))
writer.end_trial(plan("0000"), finished(0.75))
recorded.set()
writer.close(60)
"""


@pytest.mark.parametrize(
    ("call", "count"), [("create_run", 1), ("create_run", 2), ("log_batch", 2), ("set_terminated", 1)]
)
def test_a_writer_killed_after_a_call_leaves_nothing_to_be_doubled(
    uri: str, spec: SearchSpec, storage: Path, call: str, count: int
) -> None:
    """SIGKILL strikes when MLflow has done what was asked, and before the outbox could note it."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, call, str(count), uri, str(storage)], env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert SearchWriter(uri, spec, "id", spec.home).close(60) == 0
    client = connect(uri)
    runs = client.search_runs(["1"])
    assert sorted(run.data.tags[KIND] for run in runs) == ["search", "trial"]
    (trial,) = (run for run in runs if run.data.tags[KIND] == "trial")
    assert trial.info.status == "FINISHED"
    for name in ("quality", "trainable_parameters", "train_seconds"):
        assert len(client.get_metric_history(trial.info.run_id, name)) == 1
