"""The parts of a method that are the same for all: places, counts of layers, and fits that keep the place."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from spaces.methods.base.method import PlacedConfiguration, Unfit, check_layers, layerwise, placed_layers
from spaces.methods.registry import configuration, method
from spaces.model.budget import LayerCount
from spaces.model.inventory import Inventory
from tests.spaces.mini_lm import BLOCKS, WIDTH


class Somewhere(PlacedConfiguration):
    """A place alone."""

    learning_rate: float = 1.0


def test_layers_are_those_of_the_place(inventory: Inventory) -> None:
    chosen = placed_layers(Somewhere(targets="vo", layers="last"), inventory)
    assert [one.name for one in chosen] == [f"block.{BLOCKS - 1}.value", f"block.{BLOCKS - 1}.output"]


def test_a_model_without_the_targets_or_the_blocks_is_unfit(inventory: Inventory) -> None:
    empty = Inventory("bare", (), 10, 0, ())
    line = "targets = qv: bare has no matching linear layer; it has none in its blocks; allowed: methods without"
    with pytest.raises(Unfit, match=rf"^{line} targets, such as bitfit or full$"):
        placed_layers(Somewhere(layers="all"), empty)
    with pytest.raises(Unfit, match=rf"^layers = {BLOCKS + 1}: bert has fewer blocks; allowed: at most {BLOCKS}$"):
        placed_layers(Somewhere(layers=BLOCKS + 1), inventory)
    check_layers(BLOCKS, inventory)
    check_layers("all", empty)


def test_a_count_of_layers_adds_them(inventory: Inventory) -> None:
    first, second = inventory.layers[0], inventory.layers[4]
    count = layerwise(inventory, {first: 5, second: 7}, adapter_bytes=48)
    assert (count.trainable_parameters, count.stored_parameters, count.peak_updated_parameters) == (12, 12, 12)
    assert (count.head_parameters, count.base_parameters, count.adapter_bytes) == (770, 22_713_216, 48)
    assert count.layers == (
        LayerCount("block.0.query", (WIDTH, WIDTH), 5),
        LayerCount("block.0.up", (4 * WIDTH, WIDTH), 7),
    )
    other = layerwise(inventory, {first: 5}, stored=2, adapter_bytes=8, peak_updated=9)
    assert (other.trainable_parameters, other.stored_parameters, other.peak_updated_parameters) == (5, 2, 9)


@pytest.mark.parametrize("name", ["ia3", "hadamard", "lora", "surm-circulant"])
def test_a_fit_in_place_keeps_the_layers(name: str, inventory: Inventory) -> None:
    known, start = method(name), configuration(name, {"layers": 3})
    size = known.count(known.fit_in_place(start, inventory, 10**6), inventory).trainable_parameters
    assert known.fit_in_place(start, inventory, size).layers == 3
    with pytest.raises(Unfit) as raised:
        known.fit_in_place(start, inventory, 1)
    assert raised.value.smallest > 1


@pytest.mark.parametrize(("name", "placed"), [("lora", True), ("hadamard", False), ("bitfit", False), ("dst", True)])
def test_placed_methods_choose_targets(name: str, placed: bool) -> None:
    assert method(name).placed is placed
    assert ("targets" in method(name).configuration.model_fields) is placed


def test_what_is_unfit_is_told_by_its_reason_alone_and_without_a_place_nothing_is_the_smallest() -> None:
    assert str(Unfit("too large", 3)) == "too large"
    with pytest.raises(Unfit) as raised:
        placed_layers(Somewhere(layers="all"), Inventory("bare", (), 10, 0, ()))
    assert raised.value.smallest == 0


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_learning_rate_is_a_finite_number_above_zero(rate: float) -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        configuration("lora", {"learning_rate": rate})
