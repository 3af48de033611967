"""What stands in MLflow after a search was written, by the contract of tags, params and metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec
from spaces.trials.records import Rung, State, TrialResult
from tests.tracking.examples import finished, plan
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.rung_tag import rungs_in
from tracking.mlflow_store.tags import RUNGS
from tracking.writing.outbox_file import OutboxFile
from tracking.writing.search_writer import SearchState, SearchWriter

BUDGET = Budget(50_000, 50, bytes=200_000)


@pytest.fixture
def writer(uri: str, spec: SearchSpec) -> Iterator[SearchWriter]:
    one = SearchWriter(uri, spec, "id", spec.home)
    one.start_search(BUDGET, 1_000_000, 770)
    yield one
    one.close(0)


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return connect(uri)


def run_of(client: MlflowClient, writer: SearchWriter, trial: str | None) -> Run:
    assert writer.drain(60) == 0
    (run,) = (one for one in everything(client) if one.data.tags.get("paretune.trial") == trial)
    return run


def history(client: MlflowClient, run: Run) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "quality")]


def everything(client: MlflowClient) -> list[Run]:
    """The runs of the only experiment with any."""
    experiment = client.get_experiment_by_name("paretune")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def ours(run: Run) -> dict[str, str]:
    return {key: value for key, value in run.data.tags.items() if key.startswith("paretune.")}


def test_the_search_is_a_parent_run(writer: SearchWriter, client: MlflowClient, tmp_path: Path) -> None:
    run = run_of(client, writer, None)
    assert run.info.run_name == "demo"
    assert run.info.status == "RUNNING"
    tags = ours(run)
    assert json.loads(tags.pop("paretune.facts"))["base_model"] == "some/model"
    assert tags == {
        "paretune.kind": "search",
        "paretune.search": "demo",
        "paretune.search_id": "id",
        "paretune.state": "running",
    }
    assert run.data.metrics == {
        "base_parameters": 1_000_000,
        "head_parameters": 770,
        "budget_parameters": 50_000,
        "budget_at_least": 50,
        "budget_bytes": 200_000,
    }
    assert run.data.params["model.path"] == "some/model"
    assert run.data.params["methods.lora.rank"] == "[1, 2]"
    assert run.data.params["methods.sparta"] == "{}"
    assert run.data.params["training.max_steps"] == "300"
    assert run.data.params["training.precision"] == "auto"
    text = Path(client.download_artifacts(run.info.run_id, "spec.yaml", str(tmp_path))).read_text()
    assert "name: demo" in text


def test_a_trial_is_a_child_run_with_every_setting(writer: SearchWriter, client: MlflowClient) -> None:
    writer.start_trial(plan("0003", parameters=1200))
    run = run_of(client, writer, "0003")
    assert run.info.run_name == "0003 lora"
    assert run.info.status == "RUNNING"
    assert run.data.tags["mlflow.parentRunId"] == run_of(client, writer, None).info.run_id
    tags = ours(run)
    assert json.loads(tags.pop("paretune.plan"))["config"] == plan("0003").config
    assert tags == {
        "paretune.kind": "trial",
        "paretune.search": "demo",
        "paretune.search_id": "id",
        "paretune.trial": "0003",
        "paretune.method": "lora",
        "paretune.state": "running",
        "paretune.on_front": "false",
    }
    assert run.data.params == {
        "learning_rate": "0.001",
        "rank": "2",
        "scaling": "2.0",
        "targets": "qv",
        "layers": "all",
        "frozen": "false",
        "method": "lora",
        "trial_seed": "7",
        "suggested.share": "0.25",
        "suggested.targets": "qv",
    }
    assert run.data.metrics == {
        "trainable_parameters": 1200,
        "stored_parameters": 600,
        "head_parameters": 770,
        "adapter_bytes": 4800,
        "peak_updated_parameters": 1205,
    }


def test_numbers_are_metrics_that_one_may_filter_by(writer: SearchWriter, client: MlflowClient) -> None:
    for number, parameters in enumerate((900, 10_000)):
        writer.start_trial(plan(f"000{number}", parameters=parameters))
    run = run_of(client, writer, "0000")
    small = "metrics.trainable_parameters <= 1000 and tags.`paretune.method` = 'lora'"
    assert [one.info.run_id for one in client.search_runs([run.info.experiment_id], small)] == [run.info.run_id]


def test_reports_and_the_end_of_a_trial(writer: SearchWriter, client: MlflowClient) -> None:
    rungs = (Rung(step=10, quality=0.5), Rung(step=30, quality=0.75))
    writer.start_trial(plan("0000"))
    for reached in (1, 2):
        writer.report("0000", rungs[:reached])
    writer.end_trial(plan("0000"), finished(0.75, rungs=rungs, test_quality=0.7))
    run = run_of(client, writer, "0000")
    assert history(client, run) == [(10, 0.5), (30, 0.75)]
    ended = {"train_seconds": 1.5, "peak_memory_bytes": 2**33, "steps": 30, "quality": 0.75, "test_quality": 0.7}
    assert run.data.metrics.items() >= ended.items()
    assert run.info.status == "FINISHED"
    assert (run.data.tags["paretune.state"], run.data.tags["paretune.reason"]) == ("finished", "")


@pytest.mark.parametrize(("last", "best"), [(0.5, 0.75), (0.75, 0.5), (0.5, 0.5)])
def test_the_best_quality_is_the_latest_value(
    writer: SearchWriter, client: MlflowClient, last: float, best: float
) -> None:
    """The metric may be a loss, and of two values at one step and moment MLflow takes the larger for the latest."""
    rungs = (Rung(step=10, quality=best, best=best), Rung(step=30, quality=last, best=best))
    writer.start_trial(plan("0000"))
    for reached in (1, 2):
        writer.report("0000", rungs[:reached])
    for _ in range(2):  # the second time by a driver that takes the search up
        writer.end_trial(plan("0000"), finished(best, rungs=rungs, best_step=10))
    run = run_of(client, writer, "0000")
    assert (run.data.metrics["quality"], run.data.metrics["best_step"]) == (best, 10)
    assert history(client, run) == [(10, best), (30, last), *([(30, best)] if best != last else [])]


def test_evaluations_have_their_errors_by_step_and_stand_in_one_tag(writer: SearchWriter, client: MlflowClient) -> None:
    rungs = (
        Rung(step=10, loss=0.9, loss_se=0.05),
        Rung(step=30, quality=0.75, loss=0.5, quality_se=0.02, loss_se=0.04, best=0.75),
    )
    writer.start_trial(plan("0000"))
    writer.report("0000", rungs[:1])
    assert rungs_in(run_of(client, writer, "0000").data.tags[RUNGS]) == rungs[:1]
    writer.end_trial(plan("0000"), finished(0.75, rungs=rungs))
    run = run_of(client, writer, "0000")
    assert rungs_in(run.data.tags[RUNGS]) == (rungs[0], rungs[1].model_copy(update={"best": None}))
    for name, expected in (("quality_se", [(30, 0.02)]), ("loss_se", [(10, 0.05), (30, 0.04)])):
        assert [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)] == expected


def test_a_trial_that_is_tried_again_has_the_evaluations_of_its_last_try(
    writer: SearchWriter, client: MlflowClient
) -> None:
    for rungs in ((Rung(step=10, quality=0.1), Rung(step=30, quality=0.2)), (Rung(step=10, quality=0.5),)):
        writer.start_trial(plan("0000"))
        writer.end_trial(plan("0000"), TrialResult(state="failed", rungs=rungs))
    assert rungs_in(run_of(client, writer, "0000").data.tags[RUNGS]) == rungs


def test_rungs_that_were_never_reported_are_caught_up_at_the_end(writer: SearchWriter, client: MlflowClient) -> None:
    rungs = (Rung(step=10, quality=0.5), Rung(step=30, quality=0.75))
    writer.start_trial(plan("0000"))
    writer.end_trial(plan("0000"), finished(0.75, rungs=rungs))
    assert history(client, run_of(client, writer, "0000")) == [(10, 0.5), (30, 0.75)]


def test_a_writer_that_goes_on_reports_nothing_twice(
    writer: SearchWriter, client: MlflowClient, uri: str, spec: SearchSpec
) -> None:
    writer.start_trial(plan("0000"))
    writer.report("0000", [Rung(step=10, quality=0.5)])
    writer.close(60)
    again = SearchWriter(uri, spec, "id", spec.home)
    again.start_search(BUDGET, 1_000_000, 770)
    again.start_trial(plan("0000"))
    again.report("0000", [Rung(step=10, quality=0.5)])
    again.end_trial(plan("0000"), finished(0.75, rungs=(Rung(step=10, quality=0.5),)))
    assert history(client, run_of(client, again, "0000")) == [(10, 0.5), (30, 0.75)]
    assert len(everything(client)) == 2
    again.close(0)


@pytest.mark.parametrize(("state", "status"), [("finished", "FINISHED"), ("stopped", "KILLED"), ("failed", "FAILED")])
def test_states_have_their_status(writer: SearchWriter, client: MlflowClient, state: State, status: str) -> None:
    writer.start_trial(plan("0000"))
    reason = None if state == "finished" else "line with a NUL \0 and half a pair \ud800"
    writer.end_trial(plan("0000"), TrialResult(state=state, reason=reason))
    run = run_of(client, writer, "0000")
    assert run.info.status == status
    assert run.data.tags["paretune.state"] == state
    assert run.data.tags["paretune.reason"] == ("" if reason is None else "line with a NUL  and half a pair ?")


def test_a_trial_that_failed_and_then_finished_has_no_reason_left(writer: SearchWriter, client: MlflowClient) -> None:
    writer.start_trial(plan("0000"))
    writer.end_trial(plan("0000"), TrialResult(state="failed", reason="the worker died"))
    writer.start_trial(plan("0000"))
    writer.end_trial(plan("0000"), finished(0.75))
    run = run_of(client, writer, "0000")
    assert (run.info.status, run.data.tags["paretune.state"]) == ("FINISHED", "finished")
    assert run.data.tags["paretune.reason"] == ""


def test_an_end_is_known_until_the_next_start(writer: SearchWriter, uri: str, spec: SearchSpec) -> None:
    assert not writer.has_ended("0000")
    writer.start_trial(plan("0000"))
    writer.end_trial(plan("0000"), TrialResult(state="failed", reason="the worker died"))
    writer.start_trial(plan("0001"))
    writer.end_trial(plan("0001"), TrialResult(state="failed", reason="the worker died"))
    writer.start_trial(plan("0001"))
    writer.end_search("stopped")
    for one in (writer, SearchWriter(uri, spec, "id", spec.home)):
        assert (one.has_ended("0000"), one.has_ended("0001"), one.has_ended("0002")) == (True, False, False)
        one.close(60)


def test_a_quality_that_is_not_a_number_is_kept(writer: SearchWriter, client: MlflowClient) -> None:
    writer.start_trial(plan("0000"))
    writer.report("0000", [Rung(step=10, quality=math.nan)])
    ((step, value),) = history(client, run_of(client, writer, "0000"))
    assert step == 10
    assert math.isnan(value)


def test_what_is_told_together_is_recorded_at_its_end_in_one_piece(
    writer: SearchWriter, client: MlflowClient, spec: SearchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writer.drain(60) == 0
    before = (spec.home / "outbox.jsonl").read_bytes()
    appended: list[int] = []
    append = OutboxFile.append

    def counted(spool: OutboxFile, *lines: bytes) -> None:
        appended.append(len(lines))
        append(spool, *lines)

    monkeypatch.setattr(OutboxFile, "append", counted)
    with writer.together():
        writer.start_trial(plan("0001"))
        writer.report("0001", [Rung(step=3, quality=0.5)])
        writer.end_trial(plan("0001"), finished(0.6, rungs=(Rung(step=3, quality=0.5),)))
        assert (spec.home / "outbox.jsonl").read_bytes() == before
        assert writer.has_ended("0001")
    assert appended == [3 + 1 + 1 + 3]  # the start, one evaluation, another one, the end
    writer.log_counts(finished=1, stopped=0, failed=0, rejected=0, hypervolume=0.1)
    assert appended[1:] == [1]
    run = run_of(client, writer, "0001")
    assert history(client, run) == [(3, 0.5), (30, 0.6)]
    assert run.info.status == "FINISHED"


def test_the_front_and_its_confirmations(writer: SearchWriter, client: MlflowClient, tmp_path: Path) -> None:
    writer.start_trial(plan("0000"))
    writer.start_trial(plan("0000-confirm-1", kind="confirmation", confirms="0000"))
    writer.set_on_front("0000", True)
    writer.set_confirmed("0000", 0.74, 0.01, None)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    writer.upload_adapter("0000", tmp_path / "adapter")
    run = run_of(client, writer, "0000")
    assert run.data.tags["paretune.on_front"] == "true"
    assert (run.data.metrics["confirmed_quality"], run.data.metrics["confirmed_std"]) == (0.74, 0.01)
    assert "test_quality" not in run.data.metrics
    assert [file.path for file in client.list_artifacts(run.info.run_id, "adapter")] == [
        "adapter/adapter_model.safetensors"
    ]
    assert run_of(client, writer, "0000-confirm-1").data.tags["paretune.confirms"] == "0000"
    writer.set_on_front("0000", False)
    writer.set_confirmed("0000", 0.74, 0.01, 0.7)
    run = run_of(client, writer, "0000")
    assert (run.data.tags["paretune.on_front"], run.data.metrics["test_quality"]) == ("false", 0.7)


@pytest.mark.parametrize(("state", "status"), [("finished", "FINISHED"), ("stopped", "KILLED"), ("failed", "FAILED")])
def test_the_end_of_a_search(
    writer: SearchWriter, client: MlflowClient, tmp_path: Path, state: SearchState, status: str
) -> None:
    writer.log_counts(finished=3, stopped=2, failed=1, rejected=4, hypervolume=None)
    writer.log_counts(finished=4, stopped=2, failed=1, rejected=5, hypervolume=0.5)
    (tmp_path / "front.json").write_text("{}")
    writer.upload(tmp_path / "front.json")
    writer.end_search(state)
    run = run_of(client, writer, None)
    counts = {"finished": 4, "stopped": 2, "failed": 1, "rejected": 5, "hypervolume": 0.5}
    assert run.data.metrics.items() >= counts.items()
    assert (run.info.status, run.data.tags["paretune.state"]) == (status, state)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"spec.yaml", "front.json"}


def test_events_that_wait_when_a_writer_closes_are_counted(spec: SearchSpec) -> None:
    one = SearchWriter("http://127.0.0.1:9", spec, "id", spec.home)  # where nothing answers
    one.upload(spec.home / "figure.html")
    one.end_search("stopped")
    assert one.close(0) == 3
