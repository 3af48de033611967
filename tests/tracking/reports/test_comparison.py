"""Fronts side by side."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from spaces.errors import RequestError
from tests.tracking.examples import front_of, make_spec, rows, trial_row
from tracking.documents.schemas import ComparisonDocument, ObjectiveName, ReferenceQuality
from tracking.mlflow_store.run_records import TrialRun
from tracking.reports.comparison import compare
from tracking.reports.comparison_picture import compose_comparison
from tracking.reports.tables import comparison_tables, differences_note


@given(rows, rows)
def test_the_common_front_is_that_of_all_trials(left: list[TrialRun], right: list[TrialRun]) -> None:
    compared = compare([front_of("left", left), front_of("right", right)], confirmed=False)
    jsonschema.validate(compared.model_dump(mode="json"), ComparisonDocument.model_json_schema())
    together = front_of("both", [*left, *right])
    found = [(point.trainable_parameters, point.quality) for point in compared.front]
    assert found == [(point.trainable_parameters, point.quality) for point in together.front]
    assert sum(one.leading for one in compared.searches) == len(compared.front)
    areas = [one.hypervolume for one in compared.searches]
    assert together.hypervolume is not None
    assert max(area for area in areas if area is not None) <= together.hypervolume + 1e-12


@given(rows)
def test_a_search_beside_itself_keeps_its_hypervolume(trials: list[TrialRun]) -> None:
    one = front_of("one", trials)
    compared = compare([one, one.model_copy(update={"search": "other"})], confirmed=False)
    assert [entry.hypervolume for entry in compared.searches] == [one.hypervolume] * 2


@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_the_common_reference_is_the_worse_one(left: float, right: float) -> None:
    trials = [trial_row("0000", 0.95, 1_000)]
    documents = [
        front_of(name, trials).model_copy(update={"reference": ReferenceQuality(quality=quality)})
        for name, quality in (("left", left), ("right", right))
    ]
    compared = compare(documents, confirmed=False)
    assert compared.reference.quality == min(left, right)
    assert compose_comparison(compared, documents, confirmed=False).reference == min(left, right)


def test_metrics_that_differ_are_refused() -> None:
    with pytest.raises(RequestError, match="compare left right: by accuracy, loss; allowed: searches by one metric"):
        compare([front_of("left", []), front_of("right", [], "loss")], confirmed=False)


def test_metrics_of_users_own_have_the_perfect_value_that_they_are_given() -> None:
    trials = [trial_row("0000", 0.75, 1_000)]
    own = [
        front_of(name, trials).model_copy(update={"objective": ObjectiveName(metric="absent:f", mode="max")})
        for name in ("left", "right")
    ]
    known = compare([front_of("left", trials)], confirmed=False).searches[0].hypervolume
    assert known is not None
    for perfect, share in ((1.0, 1.0), (1.5, 0.5)):  # the reference has 0.5
        compared = compare(own, confirmed=False, perfects={"left": perfect, "right": perfect})
        assert compared.searches[0].hypervolume == pytest.approx(known * share)
    with pytest.raises(
        RequestError, match=r"compare left right: by absent:f \(perfect: 1\), absent:f \(perfect: 2\); "
    ):
        compare(own, confirmed=False, perfects={"left": 1.0, "right": 2.0})
    other = own[1].model_copy(update={"objective": ObjectiveName(metric="absent:f", mode="min")})
    with pytest.raises(RequestError, match=r"by absent:f \(max\), absent:f \(min\); allowed: searches by one metric"):
        compare([own[0], other], confirmed=False, perfects={"left": 1.0, "right": 1.0})


def test_confirmed_fronts_go_by_confirmed_quality() -> None:
    trials = [trial_row("0000", 0.9, 1_000, confirmed_quality=0.6), trial_row("0001", 0.8, 2_000)]
    documents = [front_of(name, trials, confirmed=True) for name in ("left", "right")]
    compared = compare(documents, confirmed=True)
    assert [(point.search, point.quality) for point in compared.front] == [("left", 0.6)]


def test_the_best_of_each_search_is_told_with_its_steps() -> None:
    left = front_of("left", [trial_row("0000", 0.7, 100), trial_row("0001", 0.8, 5_000)])
    right = front_of("right", [trial_row("0000", 0.6, 200)])
    compared = compare([left, right, front_of("none", [])], confirmed=False)
    best = [one.best.trial if one.best is not None else None for one in compared.searches]
    assert best == ["0001", "0000", None]
    assert [one.steps for one in compared.searches] == [(30,), (30,), ()]
    losses = [front_of("low", [trial_row("0000", 0.4, 100)], "loss"), front_of("high", [], "loss")]
    assert compare(losses, confirmed=False).searches[0].best is not None


def test_what_else_differs_is_told_by_specs() -> None:
    fronts = [front_of(name, [trial_row("0000", 0.7, 100)]) for name in ("left", "right")]
    one = make_spec(Path("runs"))
    assert compare(fronts, confirmed=False, specs={"left": one, "right": one}).differences == ()
    other = one.model_copy(
        update={
            "training": one.training.model_copy(update={"max_steps": 75}),
            "data": one.data.model_copy(update={"train": "other.csv"}),
            "search": one.search.model_copy(update={"seed": 3, "trials": 7}),
        }
    )
    compared = compare(fronts, confirmed=False, specs={"left": one, "right": other})
    assert compared.differences == (
        "data.train: train.csv in left, other.csv in right",
        "training.max_steps: 300 in left, 75 in right",
        "search.seed: 0 in left, 3 in right",
    )
    console = Console(width=200, record=True)
    for table in comparison_tables(compared):
        console.print(table)
    text = console.export_text()
    assert "left and right by accuracy, from 50 to 50,000 parameters (head alone 50.0%)" in text
    assert re.search(r"left +70\.0% +100 +0\.\d+ +1 +1 +30 +some/model", text)
    assert differences_note(compared).startswith("Not only their methods differ, so compare with care: data.train: ")


def test_without_specs_the_fronts_themselves_are_compared() -> None:
    left = front_of("left", [trial_row("0000", 0.7, 100)])
    right = front_of("right", [trial_row("0000", 0.6, 200, steps=75.0)])
    right = right.model_copy(update={"base_parameters": 7})
    assert compare([left, right], confirmed=False).differences == (
        "base: some/model of 1,000,000 parameters in left, some/model of 7 parameters in right",
        "steps: 30 in left, 75 in right",
    )
    assert differences_note(compare([left, left], confirmed=False)) == ""
