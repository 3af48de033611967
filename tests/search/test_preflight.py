"""What is known of a search before it starts."""

from __future__ import annotations

from search.preflight import inspect, prepare
from spaces.spec import load_spec
from tests.conftest import Workplace


def test_counting_sees_the_same_model_as_searching(workplace: Workplace) -> None:
    """The checkpoint has no pooler, which therefore belongs to the head; the config alone cannot tell."""
    spec = load_spec(workplace.spec())
    inventory = inspect(spec, labels=2)
    assert inventory == prepare(spec).inventory
    assert inventory.head_parameters == 32 * 32 + 32 + 2 * 32 + 2
