"""The facts of a search, which its readers need."""

from __future__ import annotations

from pathlib import Path

from spaces.model.budget import Budget
from tests.tracking.examples import make_spec
from tracking.mlflow_store.tags import SearchFacts


def test_facts_survive_as_json_and_earlier_ones_lack_the_rows() -> None:
    facts = SearchFacts.of(make_spec(Path("runs")), Budget(50_000, 50, 1_000), 1_000_000, 770, {"train": 8, "test": 2})
    assert SearchFacts.model_validate_json(facts.model_dump_json()) == facts
    assert (facts.base_model, facts.metric, facts.mode, facts.perfect) == ("some/model", "accuracy", "max", 1.0)
    earlier = facts.model_dump_json(exclude={"rows"})
    assert SearchFacts.model_validate_json(earlier) == facts.model_copy(update={"rows": {}})


def test_numbers_to_filter_by_are_those_of_the_facts() -> None:
    facts = SearchFacts.of(make_spec(Path("runs")), Budget(50_000, 50), 1_000_000, 770)
    assert facts.numbers() == {
        "base_parameters": 1_000_000,
        "head_parameters": 770,
        "budget_parameters": 50_000,
        "budget_at_least": 50,
        "budget_bytes": None,
    }
