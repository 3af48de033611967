"""Model cards of trials that were never run."""

from __future__ import annotations

from typing import Any

from spaces.methods.base.method import Configuration
from spaces.methods.registry import method
from spaces.model.inventory import Inventory
from spaces.model_card.card import Card
from spaces.spec.spec import SearchSpec


def card_of(spec: SearchSpec, name: str, chosen: Configuration, inventory: Inventory, **facts: Any) -> Card:
    """The card of a trial of method `name`, with `facts` in place of the usual ones."""
    count = method(name).count(chosen, inventory)
    usual: dict[str, Any] = {
        "spec": spec,
        "trial": "0000",
        "method": name,
        "config": chosen.model_dump(mode="json"),
        "seed": 0,
        "quality": 0.5,
        "confirmed_quality": None,
        "confirmed_std": None,
        "test_quality": None,
        "trainable_parameters": count.trainable_parameters,
        "head_parameters": count.head_parameters,
        "base_parameters": count.base_parameters,
        "adapter_bytes": count.adapter_bytes,
        "labels": (),
        "own_tuner": name != "lora",
    }
    return Card(**usual | facts)
