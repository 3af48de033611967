"""Signatures of configurations."""

from __future__ import annotations

from spaces.methods.registry import configuration, method
from spaces.model.inventory import Inventory
from spaces.space.proposal import Proposal, Rejected, signature


def proposal(inventory: Inventory, **settings: object) -> Proposal:
    made = configuration("lora", settings)
    return Proposal("lora", made, method("lora").count(made, inventory))


def test_equal_configurations_have_equal_signatures_however_they_are_written(inventory: Inventory) -> None:
    one = proposal(inventory, rank=2, targets="qv")
    other = proposal(inventory, targets="qv", rank=2, scaling=2.0)
    assert one.signature == other.signature
    assert one.signature == signature("lora", dict(reversed(one.settings.items())))
    assert one.signature != proposal(inventory, rank=3, targets="qv").signature
    assert one.signature != signature("melora", one.settings)


def test_settings_are_plain_and_make_the_configuration_again(inventory: Inventory) -> None:
    one = proposal(inventory, rank=2, layers="last")
    assert configuration("lora", one.settings) == one.configuration
    assert all(isinstance(value, str | int | float | bool) for value in one.settings.values())


def test_a_rejection_says_why_and_how_far() -> None:
    rejected = Rejected("too large", excess=0.5)
    assert (str(rejected), rejected.excess) == ("too large", 0.5)
