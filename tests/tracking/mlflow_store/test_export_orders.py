"""Orders of exports wait in MLflow in the order in which they were made."""

from __future__ import annotations

import pytest

from tracking.mlflow_store import tags
from tracking.mlflow_store.client import connect
from tracking.mlflow_store.export_orders import ATTEMPT, IDENTITY, add_order, drop_order, find_orders


def test_orders_come_back_the_earliest_first_until_they_are_dropped(uri: str) -> None:
    client = connect(uri)
    assert find_orders(client) == []
    for attempt, identity in enumerate(("0001-peft", "0000-lora-8", "0002-stock"), 1):
        add_order(client, "demo", identity, attempt)
    found = find_orders(client)
    assert [(one.name, one.identity, one.attempt) for one in found] == [
        ("demo", "0001-peft", 1),
        ("demo", "0000-lora-8", 2),
        ("demo", "0002-stock", 3),
    ]
    drop_order(client, found[1])
    drop_order(client, found[1])  # by another service
    assert find_orders(client) == [found[0], found[2]]


@pytest.mark.parametrize(
    ("tag", "value"),
    [(tags.SEARCH, "../up"), (IDENTITY, ""), (ATTEMPT, "x"), (ATTEMPT, "-1"), (ATTEMPT, "²")],
)
def test_a_spoiled_order_is_passed_over(uri: str, tag: str, value: str) -> None:
    client = connect(uri)
    for name in ("bad", "good"):
        add_order(client, name, "0000-peft", 1)
    bad, good = find_orders(client)
    client.set_tag(bad.run_id, tag, value)
    assert find_orders(client) == [good]
