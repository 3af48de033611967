"""Validating a spec with its model and its data."""

from __future__ import annotations

import pytest

from search.validation import validate
from spaces.errors import RequestError
from spaces.spec.spec import load_spec
from tests.conftest import Workplace


def test_the_search_that_a_spec_describes(workplace: Workplace) -> None:
    announced: list[str] = []
    spec = load_spec(workplace.spec(confirm={"top": 2, "seeds": 3}, methods=["lora", "full"]))
    found = validate(spec, announced.append)
    assert announced == ["reading and encoding the data", "reading the model"]
    assert (found.search, found.metric) == ("mine", "accuracy")
    assert (found.methods, found.dropped) == (["lora"], ["full"])  # a whole layer is over the budget
    assert found.budget == {"parameters": 3000, "at_least": 10, "bytes": None}
    assert found.rows == {"train": 160, "validation": 48}
    assert found.labels == ["bad", "good"]
    assert found.trainings == 1 + found.trials + 2 * 3
    assert set(found.cut) == {"train", "validation"}


def test_a_wrong_spec_names_its_field(workplace: Workplace) -> None:
    with pytest.raises(RequestError, match="nowhere"):
        validate(load_spec(workplace.spec(data={"label": "nowhere"})))
