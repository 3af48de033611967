"""Searches read back from a real MLflow."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import get_args

import jsonschema
import numpy as np
import pytest

from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec
from spaces.trials.records import Rung, TrialResult
from spaces.trials.row_values import pack
from tests.tracking.examples import finished, make_spec, plan
from tests.tracking.written import write
from tracking.documents.building import build_front
from tracking.documents.schemas import Axis, SearchesDocument, Ties
from tracking.mlflow_store import runs
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.runs import find_search, list_searches, read_confirmations, read_trials
from tracking.mlflow_store.tags import PLAN, ROW_VALUES
from tracking.queries import front_and_trials, front_document, searches_document, trials_document
from tracking.writing.search_writer import SearchWriter


def test_a_front_comes_back_with_its_types(uri: str, spec: SearchSpec) -> None:
    write(uri, spec, "id", [0.6, 0.55, 0.75])
    document = front_document(uri, "demo")
    assert [(point.trial, point.quality) for point in document.front] == [("0000", 0.6), ("0002", 0.75)]
    assert document.front[0].config == plan("0000").config
    assert [type(value) for value in document.front[0].config.values()] == [float, int, float, str, str, bool]
    assert (document.base_parameters, document.budget.parameters, document.budget.bytes) == (1_000_000, 50_000, None)
    assert document.reference.quality == 0.5
    assert document.trials.model_dump() == {"finished": 3, "stopped": 0, "failed": 0, "rejected": 2}
    assert 0 < (document.hypervolume or 0) < 1
    assert trials_document(uri, "demo").reference is not None


def test_the_front_needs_neither_the_tag_nor_the_end_of_the_search(uri: str, spec: SearchSpec) -> None:
    write(uri, spec, "id", [0.6], end=False)
    writer = SearchWriter(uri, spec, "id", spec.home / "id")
    writer.set_on_front("0000", False)
    stopped = plan("0001", parameters=10)
    writer.start_trial(stopped)
    writer.end_trial(stopped, TrialResult(state="stopped", steps=10, rungs=(Rung(step=10, quality=0.99),)))
    writer.start_trial(plan("0002", parameters=5))
    writer.report("0002", [Rung(step=10, quality=0.99)])
    assert writer.close(60) == 0
    assert [point.trial for point in front_document(uri, "demo").front] == ["0000"]
    assert [(one.trial, one.state, one.quality) for one in trials_document(uri, "demo").trials] == [
        ("0000", "finished", 0.6),
        ("0001", "stopped", None),
        ("0002", "running", None),
    ]


def test_searches_of_all_experiments_are_listed_newest_first(
    uri: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_PAGE", 1)
    for number, experiment in enumerate(["paretune", "other", "paretune"]):
        write(uri, make_spec(storage, f"search-{number}", experiment), f"id-{number}", [0.6])
    document = searches_document(uri)
    assert [(one.search, one.experiment, one.state) for one in document.searches] == [
        ("search-2", "paretune", "finished"),
        ("search-1", "other", "finished"),
        ("search-0", "paretune", "finished"),
    ]
    assert document.searches[0].trials.model_dump() == {"finished": 1, "stopped": 0, "failed": 0, "rejected": 2}
    assert document.searches[0].hypervolume == 0.25
    jsonschema.validate(document.model_dump(mode="json"), SearchesDocument.model_json_schema(mode="serialization"))


def test_of_several_searches_of_a_name_the_newest_counts(uri: str, spec: SearchSpec) -> None:
    write(uri, spec, "old", [0.6, 0.7])
    write(uri, spec, "new", [0.8])
    assert [point.quality for point in front_document(uri, "demo").front] == [0.8]
    assert len(searches_document(uri).searches) == 2


def test_deleted_runs_and_foreign_runs_are_not_seen(uri: str, spec: SearchSpec) -> None:
    write(uri, spec, "id", [0.6, 0.7])
    client = connect(uri)
    client.create_run("0", tags={"somebody": "else"})
    client.delete_run(front_document(uri, "demo").front[-1].run_id)
    assert [point.trial for point in front_document(uri, "demo").front] == ["0000"]
    client.delete_run(list_searches(client)[0].run_id)
    with pytest.raises(RequestError, match="its run is deleted in MLflow"):
        front_document(uri, "demo")


@pytest.mark.parametrize("name", ["dmo-smal", "it's", 'a "quote"', "back\\slash", "100%"])
def test_a_name_that_is_not_there_gets_the_nearest(uri: str, storage: Path, name: str) -> None:
    for one in ("demo-small", "demo-large", "sst2", "rte"):
        write(uri, make_spec(storage, one), one, [])
    with pytest.raises(RequestError) as error:
        front_document(uri, name)
    message = str(error.value)
    assert message.startswith(f"search {name!r}: not in MLflow at {uri}; nearest: ")
    if name == "dmo-smal":
        assert message.partition("nearest: ")[2].startswith("demo-small, ")


def test_reading_where_nothing_is_makes_nothing(tmp_path: Path) -> None:
    for read in (searches_document, lambda uri: front_document(uri, "demo"), lambda uri: trials_document(uri, "demo")):
        with pytest.raises(RequestError, match="no such file"):
            read(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []


SPOILED = [
    ("paretune.plan", '{"trial": "0000"', "tag paretune.plan is not a TrialPlan"),
    ("paretune.state", "asleep", "tag paretune.state = 'asleep' is none of"),
]


@pytest.mark.parametrize(("tag", "value", "problem"), SPOILED)
def test_a_trial_with_a_spoiled_record_is_left_out_and_named(
    uri: str, spec: SearchSpec, caplog: pytest.LogCaptureFixture, tag: str, value: str, problem: str
) -> None:
    write(uri, spec, "id", [0.6, 0.7, 0.8])
    run_id = front_document(uri, "demo").front[1].run_id
    connect(uri).set_tag(run_id, tag, value)
    named = f"trial 0001 counts as failed, its record cannot be read: MLflow run {run_id}: {problem}"
    assert [point.trial for point in front_document(uri, "demo").front] == ["0000", "0002"]
    assert [one.startswith(named) for one in caplog.messages] == [True]
    caplog.clear()
    trials = trials_document(uri, "demo").trials
    assert [(one.trial, one.state, one.quality) for one in trials] == [
        ("0000", "finished", 0.6),
        ("0001", "failed", None),
        ("0002", "finished", 0.8),
    ]
    assert (trials[1].reason or "").startswith(f"MLflow run {run_id}: {problem}")
    assert [one.startswith(named) for one in caplog.messages] == [True]


@pytest.mark.parametrize("confirmed", [False, True])
def test_one_reading_gives_front_and_trials_as_two_do(uri: str, spec: SearchSpec, confirmed: bool) -> None:
    write(uri, spec, "id", [0.6, 0.7, 0.65, 0.8])
    front, trials = front_and_trials(uri, "demo", confirmed=confirmed)
    assert front == front_document(uri, "demo", confirmed=confirmed)
    assert trials == trials_document(uri, "demo")


@pytest.mark.parametrize(("tag", "value", "problem"), SPOILED)
def test_a_reference_with_a_spoiled_record_leaves_the_front_without_one(
    uri: str, spec: SearchSpec, caplog: pytest.LogCaptureFixture, tag: str, value: str, problem: str
) -> None:
    write(uri, spec, "id", [0.6, 0.7])
    found = trials_document(uri, "demo").reference
    assert found is not None
    connect(uri).set_tag(found.run_id, tag, value)
    document = front_document(uri, "demo")
    assert [point.trial for point in document.front] == ["0000", "0001"]
    assert (document.reference.quality, document.best) == (None, None)
    assert [
        f"trial reference counts as failed, its record cannot be read: MLflow run {found.run_id}: {problem}" in one
        for one in caplog.messages
    ] == [True]


@pytest.mark.parametrize("confirmed", [False, True])
def test_spoiled_records_that_fill_pages_hide_no_trial_behind_them(
    uri: str, spec: SearchSpec, confirmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(uri, spec, "id", [0.99, 0.98, 0.97, 0.96, 0.5, 0.6])
    writer = SearchWriter(uri, spec, "id", spec.home / "id")
    for number in range(6):
        writer.set_confirmed(f"{number:04d}", 0.9 - number / 10, None, None)
    assert writer.close(60) == 0
    client = connect(uri)
    for row in read_trials(client, find_search(client, "demo")):
        if row.plan.trial in {"0000", "0001", "0002", "0003"}:
            client.delete_tag(row.run_id, PLAN)
    monkeypatch.setattr(runs, "_FRONT_PAGE", 2)
    front = front_document(uri, "demo", confirmed=confirmed).front
    assert [point.trial for point in front] == (["0004"] if confirmed else ["0004", "0005"])


@pytest.mark.parametrize("axis", get_args(Axis))
@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_the_front_is_that_of_all_trials_though_few_are_read(
    uri: str, storage: Path, metric: str, confirmed: bool, axis: Axis, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(storage)
    spec = spec.model_copy(update={"objective": spec.objective.model_copy(update={"metric": metric})})
    better = 1 if spec.metric.mode == "max" else -1
    generator = random.Random(f"{metric} {confirmed} {axis}")
    writer = SearchWriter(uri, spec, "id", spec.home / "id")
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    head = plan("reference", kind="reference", parameters=0)
    writer.start_trial(head)
    writer.end_trial(head, finished(0.5))
    for number in range(60):
        size = generator.randrange(1, 200)
        one = plan(f"{number:04d}", parameters=10 * size)
        one = one.model_copy(update={"stored_parameters": generator.randrange(1, 30)})
        writer.start_trial(one)
        result = finished(round(0.5 + better * (size**0.5 / 40 + generator.random() / 3) / 2, 2))  # with equal ones
        if number % 5 == 0:
            result = result.model_copy(
                update={"state": "stopped", "quality": None, "rungs": (Rung(step=9, quality=1),)}
            )
        writer.end_trial(one, result)
        if number % 3 == 0 and number % 5:
            writer.set_confirmed(one.trial, round(generator.random(), 1), generator.choice([0.01, 0.1, 0.3]), None, 2)
    assert writer.close(60) == 0
    monkeypatch.setattr(runs, "_FRONT_PAGE", 3)
    found = front_document(uri, "demo", confirmed=confirmed, axis=axis)
    client = connect(uri)
    search = find_search(client, "demo")
    assert found == build_front(search, read_trials(client, search), confirmed=confirmed, axis=axis)
    assert len(found.front) > 1
    assert found.best is not None
    assert found.knee is not None


def test_what_is_told_apart_follows_from_mlflow_alone(uri: str, spec: SearchSpec) -> None:
    """By the outcomes of one fresh training each; what an earlier version recorded has none."""
    writer = SearchWriter(uri, spec, "id", spec.home / "id")
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    for number, share in enumerate([0.51, 0.82, 0.825]):
        trial, right = f"{number:04d}", np.random.default_rng(number).permutation(1_000) < 1_000 * share
        one = plan(trial, parameters=100 * (number + 1))
        again = plan(f"{trial}-confirm-1", kind="confirmation", parameters=one.trainable_parameters, confirms=trial)
        for training in (one, again):
            writer.start_trial(training)
            writer.end_trial(training, finished(share).model_copy(update={"row_values": pack(right)}))
        writer.set_confirmed(trial, share, None, None)
    assert writer.close(60) == 0
    found = front_document(uri, "demo", confirmed=True).ties
    assert found == Ties(pairs=(("0001", "0002"),), fewest=1, most=1, rows=1_000)
    assert front_document(uri, "demo").ties is None
    client = connect(uri)
    for row in read_confirmations(client, find_search(client, "demo")):
        client.delete_tag(row.run_id, ROW_VALUES)
    found = front_document(uri, "demo", confirmed=True).ties
    assert found == Ties(pairs=(("0000", "0001"), ("0001", "0002")), fewest=1, most=1, rows=None)


@pytest.mark.parametrize("quality", [float("nan"), float("inf"), float("-inf")])
def test_a_quality_that_is_not_finite_is_none(uri: str, spec: SearchSpec, quality: float) -> None:
    """MLflow's databases keep an infinity as the largest float."""
    write(uri, spec, "id", [quality, 0.6])
    assert [point.trial for point in front_document(uri, "demo").front] == ["0001"]
    assert [one.quality for one in trials_document(uri, "demo").trials] == [None, 0.6]


def test_a_search_of_a_deleted_experiment_is_told_from_none(uri: str, spec: SearchSpec) -> None:
    write(uri, spec, "id", [0.6])
    client = connect(uri)
    experiment = client.get_experiment_by_name("paretune")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    restoring = f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
    told = f"its experiment paretune is deleted in MLflow; restore it: {restoring}"
    for read in (front_document, trials_document):
        with pytest.raises(RequestError, match=f"search 'demo': {re.escape(told)}$"):
            read(uri, "demo")
    with pytest.raises(RequestError, match="search 'other': not in MLflow"):
        front_document(uri, "other")
    with pytest.raises(RequestError, match="not in MLflow"):
        front_document(uri, "it's")
    client.restore_experiment(experiment.experiment_id)
    assert [point.trial for point in front_document(uri, "demo").front] == ["0000"]


def test_a_search_whose_run_was_deleted_says_how_to_restore_it(uri: str, spec: SearchSpec) -> None:
    write(uri, spec, "first", [0.6])
    write(uri, spec, "second", [0.7])
    client = connect(uri)
    earlier, later = (row.run_id for row in reversed(list_searches(client)))
    client.delete_run(later)
    assert front_document(uri, "demo").front[0].quality == 0.6  # the one that is left
    client.delete_run(earlier)
    with pytest.raises(RequestError, match=f"`mlflow runs restore --run-id {later}`"):
        front_document(uri, "demo")
