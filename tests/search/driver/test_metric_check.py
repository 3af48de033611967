"""A metric of the user's own is tried before anything trains, here and on the nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from search.driver.launch import _as_spec
from search.driver.metric_check import check_metric, check_metric_on_nodes, with_direction
from search.driver.preflight import prepare
from spaces.errors import RequestError
from spaces.spec.own_metric import keep
from spaces.spec.spec import SearchSpec, load_spec, parse_spec
from tests.conftest import Workplace, start_ray
from tests.own_metrics import written_module


@pytest.fixture
def module(workplace: Workplace) -> Iterator[str]:
    with written_module(workplace.folder) as name:
        yield name


def spec_of(workplace: Workplace, metric: str, **objective: Any) -> SearchSpec:
    return load_spec(workplace.spec(objective={"metric": metric, **objective}))


def test_a_prepared_spec_has_the_direction_and_the_function(workplace: Workplace, module: str) -> None:
    prepared = prepare(spec_of(workplace, f"{module}:right"))
    assert (prepared.spec.objective.mode, prepared.spec.objective.perfect) == ("max", 100)
    assert prepared.metric is not None
    assert prepare(prepared.spec).spec == prepared.spec
    assert prepare(load_spec(workplace.spec())).metric is None
    lower = with_direction(spec_of(workplace, f"{module}:wrong"))
    assert (lower.objective.mode, lower.objective.perfect) == ("min", 0)


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("absent", "has no absent; allowed: a function at its top level"),
        (
            "raises",
            "raised KeyError: 'no such\\nlabel', with the references of data.validation as predictions; allowed",
        ),
        ("nothing", "returned nan, not a finite number, with the references of data.validation as predictions; "),
        ("words", "returned {'f1': 1.0}, of type dict, not a number, with the references"),
        ("upward", "its mode is 'up'"),
        ("endless", "its perfect is inf"),
    ],
)
def test_a_metric_that_cannot_measure_is_refused(workplace: Workplace, module: str, function: str, line: str) -> None:
    done = workplace.call("validate", str(workplace.spec(objective={"metric": f"{module}:{function}"})))
    assert done.returncode == 2
    (complaint,) = done.stderr.splitlines()
    assert complaint.startswith(f"paretune: objective.metric = '{module}:{function}': ")
    assert line in complaint


def test_references_better_than_perfect_are_refused_and_worse_ones_noted(workplace: Workplace, module: str) -> None:
    percent = keep(lambda found, wanted: 100.0, "own:percent")
    with pytest.raises(
        RequestError,
        match=r"objective\.metric = 'own:percent': gives 100 for the references of data\.validation as predictions, "
        r"better than its perfect 1 \(mode max\); allowed: its best possible value",
    ):
        prepare(spec_of(workplace, percent))
    assert prepare(spec_of(workplace, percent, perfect=100)).metric is not None
    error = keep(lambda found, wanted: 0.0, "own:error")
    note = "gives 0 for the references of data.validation as predictions, its perfect is 1 (mode max)"
    assert any(note in one for one in prepare(spec_of(workplace, error)).notes)
    assert not [one for one in prepare(spec_of(workplace, error, mode="min")).notes if "own:error" in one]


def test_other_metrics_are_not_called(workplace: Workplace) -> None:
    spec = load_spec(workplace.spec())
    assert with_direction(spec) is spec
    assert check_metric(spec, "data.validation", None, ()) == ()  # type: ignore[arg-type]


@pytest.mark.integration
def test_every_node_tries_the_function(workplace: Workplace, module: str) -> None:
    start_ray()
    prepared = prepare(spec_of(workplace, f"{module}:plain"))
    check_metric_on_nodes(prepared)
    driver = os.getpid()

    def works_here_alone(found: list[str], wanted: list[str]) -> float:
        if os.getpid() != driver:
            raise OSError("no\nlexicon here")
        return 1.0

    with pytest.raises(
        RequestError,
        match=r"objective\.metric = 'own:here': fails on node [\d.]+ \(raised OSError: no lexicon here\); allowed: ",
    ):
        check_metric_on_nodes(prepare(spec_of(workplace, keep(works_here_alone, "own:here"))))


def test_in_python_any_callable_takes_the_place_of_the_metric(workplace: Workplace, module: str) -> None:
    path = workplace.spec(objective={"metric": "f1"})

    def mine(found: list[str], wanted: list[str]) -> float:
        return 1.0

    name = f"{__name__}:test_in_python_any_callable_takes_the_place_of_the_metric.<locals>.mine"
    whole = load_spec(path)
    fields = whole.model_dump(exclude_unset=True)
    for given in (path, str(path), whole, fields):
        found = _as_spec(given, mine)
        assert found.metric.name == name
        assert found == parse_spec({**whole.model_dump(mode="json", exclude_unset=True), "objective": {"metric": name}})
    assert fields["objective"] == {"metric": "f1"}
    assert _as_spec({**fields, "objective": {"metric": mine}}, None) == found
    assert _as_spec(path, None) == whole
    assert prepare(_as_spec(path, mine)).metric is not None
