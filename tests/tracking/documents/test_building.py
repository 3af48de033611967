"""Documents from rows: the front by its definition, and every document against its JSON schema."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.pareto.front import hypervolume
from spaces.trials.records import Rung
from spaces.trials.row_values import pack
from tests.tracking.examples import REFERENCE, plan, rows, search_row, trial_row
from tracking.documents.building import build_front, build_search, build_trials, is_near_head
from tracking.documents.schemas import Axis, FrontDocument, SearchEntry, TrialsDocument
from tracking.mlflow_store.run_records import TrialRun


@given(rows, st.sampled_from(["accuracy", "loss"]))
def test_the_front_is_of_finished_trials_that_no_other_beats(trials: list[TrialRun], metric: str) -> None:
    search = search_row(metric)
    sign = 1 if search.facts.mode == "max" else -1
    running = [
        (row.plan.trial, sign * row.metrics["quality"], row.plan.trainable_parameters)
        for row in trials
        if row.plan.kind == "trial" and row.state == "finished" and "quality" in row.metrics
    ]
    expected = [
        one
        for place, one in enumerate(running)
        if not any(other[1] >= one[1] and other[2] <= one[2] and other[1:] != one[1:] for other in running)
        and one[1:] not in [earlier[1:] for earlier in running[:place]]
    ]
    document = build_front(search, [*trials, REFERENCE], confirmed=False, axis="trainable")
    assert [point.trial for point in document.front] == [one[0] for one in sorted(expected, key=lambda one: one[2])]
    assert document.trials.model_dump() == search.metrics


@settings(max_examples=30)
@given(rows)
def test_documents_fit_their_schemas(trials: list[TrialRun]) -> None:
    search = search_row()
    for given_rows in (trials, [*trials, REFERENCE]):
        front = build_front(search, given_rows, confirmed=False, axis="trainable")
        jsonschema.validate(front.model_dump(mode="json"), FrontDocument.model_json_schema(mode="serialization"))
        found = build_trials(search, given_rows)
        jsonschema.validate(found.model_dump(mode="json"), TrialsDocument.model_json_schema(mode="serialization"))
        assert FrontDocument.model_validate_json(front.model_dump_json()) == front
        assert TrialsDocument.model_validate_json(found.model_dump_json()) == found
    entry = build_search(search, "paretune")
    jsonschema.validate(entry.model_dump(mode="json"), SearchEntry.model_json_schema(mode="serialization"))


def test_the_front_says_what_the_contract_says() -> None:
    trials = [
        REFERENCE,
        trial_row("0000", 0.75, 1000, confirmed_quality=0.74, confirmed_std=0.01, test_quality=0.7),
        trial_row("0001", 0.8, 2000, state="stopped"),
    ]
    document = build_front(search_row(), trials, confirmed=False, axis="trainable").model_dump(mode="json")
    area = hypervolume([(0.75, 1000)], at_least=50, budget=50_000, reference=0.5, perfect=1.0)
    (point,) = document["front"]
    assert document == {
        "best": point,
        "knee": point,
        "search": "demo",
        "base_model": "some/model",
        "base_parameters": 1_000_000,
        "budget": {"parameters": 50_000, "at_least": 50, "bytes": None},
        "objective": {"metric": "accuracy", "mode": "max"},
        "reference": {"quality": 0.5},
        "hypervolume": area,
        "trials": {"finished": 12, "stopped": 7, "failed": 2, "rejected": 3},
        "front": [
            {
                "trial": "0000",
                "run_id": "run-0000",
                "method": "lora",
                "config": plan("0000").config,
                "quality": 0.75,
                "confirmed_quality": 0.74,
                "confirmed_std": 0.01,
                "test_quality": 0.7,
                "trainable_parameters": 1000,
                "stored_parameters": 500,
                "head_parameters": 770,
                "adapter_bytes": 4000,
                "steps": 30,
                "train_seconds": 1.5,
                "peak_memory_bytes": 2**33,
            }
        ],
    }
    assert 0 < area < 1


@pytest.mark.parametrize(("quality", "near"), [(0.505, True), (0.6, False), (0.45, False)])
def test_a_best_trial_may_be_no_better_than_the_head_by_its_error(quality: float, near: bool) -> None:
    generator = np.random.default_rng(0)
    head, best = (pack(generator.permutation(1_000) < 1_000 * share) for share in (0.5, quality))
    rows = [replace(REFERENCE, row_values=head), replace(trial_row("0000", quality, 100), row_values=best)]
    assert is_near_head(search_row(), rows) == near
    assert not is_near_head(search_row(), [REFERENCE, trial_row("0000", quality, 100)])  # of an earlier version


def test_trials_say_what_the_contract_says() -> None:
    running = TrialRun("run-0002", "running", {"quality": 0.6}, plan("0002"), None)
    failed = TrialRun("run-0001", "failed", {"steps": 10.0, "train_seconds": 0.5}, plan("0001"), "out of memory")
    rungs = (Rung(step=10, loss=0.5, loss_se=0.1), Rung(step=30, quality=0.75, loss=0.4, quality_se=0.02, loss_se=0.1))
    trials = [
        replace(trial_row("0000", 0.75, 1000), rungs=rungs),
        failed,
        replace(running, rungs=rungs[:1]),
        REFERENCE,
        trial_row("0000-confirm-1", 0.7, 1000, kind="confirmation"),
    ]
    document = build_trials(search_row(), trials).model_dump(mode="json")
    entry: dict[str, Any] = {
        "trial": "0000",
        "run_id": "run-0000",
        "method": "lora",
        "state": "finished",
        "config": plan("0000").config,
        "quality": 0.75,
        "trainable_parameters": 1000,
        "adapter_bytes": 4000,
        "steps": 30,
        "train_seconds": 1.5,
        "reason": None,
        "rungs": [
            {"step": 10, "quality": None, "loss": 0.5, "quality_se": None, "loss_se": 0.1},
            {"step": 30, "quality": 0.75, "loss": 0.4, "quality_se": 0.02, "loss_se": 0.1},
        ],
    }
    assert document["search"] == "demo"
    assert document["trials"][0] == entry
    assert document["trials"][1] == entry | {
        "trial": "0001",
        "run_id": "run-0001",
        "state": "failed",
        "quality": None,
        "steps": 10,
        "train_seconds": 0.5,
        "reason": "out of memory",
        "rungs": [],
    }
    # The quality of a trial that has not finished is that of a rung, and is not shown as a trial's.
    assert document["trials"][2] == entry | {
        "trial": "0002",
        "run_id": "run-0002",
        "state": "running",
        "quality": None,
        "steps": None,
        "train_seconds": None,
        "rungs": entry["rungs"][:1],
    }
    assert document["reference"]["method"] == "head"
    again = {"trial": "0000-confirm-1", "run_id": "run-0000-confirm-1", "quality": 0.7, "rungs": []}
    assert document["confirmations"] == [entry | again | {"confirms": "0000"}]
    assert build_trials(search_row(), []).reference is None


def test_the_confirmed_front_goes_by_confirmed_quality() -> None:
    """The lucky one falls off, and what was never confirmed is not compared."""
    trials = [
        REFERENCE,
        trial_row("0000", 0.75, 1000, confirmed_quality=0.74),
        trial_row("0001", 0.80, 2000, confirmed_quality=0.70),
        trial_row("0002", 0.90, 3000),
        trial_row("0003", 0.85, 4000, confirmed_quality=0.83),
    ]
    document = build_front(search_row(), trials, confirmed=True, axis="trainable")
    assert [point.trial for point in document.front] == ["0000", "0003"]
    points = [(0.74, 1000), (0.83, 4000)]
    assert document.hypervolume == hypervolume(points, at_least=50, budget=50_000, reference=0.5, perfect=1.0)
    assert [point.score(confirmed=True) for point in document.front] == [0.74, 0.83]
    assert document.front[0].score(confirmed=False) == 0.75


@pytest.mark.parametrize(("axis", "expected"), [("trainable", ["0000"]), ("stored", ["0001"])])
def test_the_axis_decides_what_is_smaller(axis: Axis, expected: list[str]) -> None:
    heavy = plan("0000", parameters=1000).model_copy(update={"stored_parameters": 900})
    light = plan("0001", parameters=1001).model_copy(update={"stored_parameters": 100})
    trials = [TrialRun(one.trial, "finished", {"quality": 0.75}, one, None) for one in (heavy, light)]
    document = build_front(search_row(), [*trials, REFERENCE], confirmed=False, axis=axis)
    assert [point.trial for point in document.front] == expected
    size = document.front[0].size(axis)
    assert size == (1000 if axis == "trainable" else 100)
    assert document.hypervolume == hypervolume([(0.75, size)], at_least=50, budget=50_000, reference=0.5, perfect=1.0)


def test_without_a_finished_reference_there_is_no_hypervolume() -> None:
    trials = [trial_row("reference", 0.5, 0, kind="reference", state="running"), trial_row("0000", 0.75, 1000)]
    document = build_front(search_row(), trials, confirmed=False, axis="trainable")
    assert document.reference.quality is None
    assert document.hypervolume is None
    assert len(document.front) == 1
