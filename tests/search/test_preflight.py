"""What is known of a search before it starts."""

from __future__ import annotations

import pytest

from search.preflight import inspect, prepare
from spaces.errors import RequestError
from spaces.spec import load_spec
from tests.conftest import Workplace


def test_counting_sees_the_same_model_as_searching(workplace: Workplace) -> None:
    """The checkpoint has no pooler, which therefore belongs to the head; the config alone cannot tell."""
    spec = load_spec(workplace.spec())
    inventory = inspect(spec, labels=2)
    assert inventory == prepare(spec).inventory
    assert inventory.head_parameters == 32 * 32 + 32 + 2 * 32 + 2


def frauds(workplace: Workplace) -> dict[str, str]:
    """Data in which the alphabetically first of two labels is the rarer one."""
    for name, rows in (("train", 20), ("validation", 10)):
        lines = [f"some words,{'legit' if row % 5 else 'fraud'}" for row in range(rows)]
        (workplace.folder / f"{name}.csv").write_text("\n".join(["text,label", *lines]))
    return {name: str(workplace.folder / f"{name}.csv") for name in ("train", "validation")}


def test_f1_is_of_the_rarer_label_unless_one_is_named_and_it_is_said(workplace: Workplace) -> None:
    spec = load_spec(workplace.spec(data=frauds(workplace), objective={"metric": "f1"}))
    prepared = prepare(spec)
    assert prepared.spec.objective.positive == "fraud"
    note = "objective.metric = f1: of the label 'fraud', the rarer one; objective.positive names another"
    assert note in prepared.notes
    again = prepare(prepared.spec)
    assert again.spec == prepared.spec
    assert note not in again.notes
    named = load_spec(workplace.spec(data=frauds(workplace), objective={"metric": "f1", "positive": "legit"}))
    assert prepare(named).spec.objective.positive == "legit"
    assert workplace.read("validate", "mine.yaml")["positive"] == "legit"
    assert "by f1 of the label 'legit'" in workplace.call("validate", "mine.yaml").stdout
    wrong = load_spec(workplace.spec(data=frauds(workplace), objective={"metric": "f1", "positive": 1}))
    with pytest.raises(RequestError, match=r"objective\.positive = 1: no label of the data; allowed: fraud, legit"):
        prepare(wrong)
