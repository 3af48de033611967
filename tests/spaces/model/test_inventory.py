"""Choosing layers by kind and by block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.model.inventory import LAYER_RANGES, TARGETS, Inventory, Kind, LayerRange, LinearLayer, Targets, select


def names(layers: tuple[LinearLayer, ...]) -> list[str]:
    return [layer.name.removeprefix("block.") for layer in layers]


def test_an_inventory_knows_its_blocks_and_sizes(inventory: Inventory) -> None:
    assert inventory.blocks == 6
    assert {layer.kind: layer.size for layer in inventory.layers if layer.block == 0} == {
        **dict.fromkeys(["query", "key", "value", "output"], 384 * 384),
        **dict.fromkeys(["up", "down"], 384 * 1536),
    }
    assert Inventory("none", (), 1, 0, ()).blocks == 0


@pytest.mark.parametrize(
    ("targets", "kinds"),
    [
        ("qv", ["query", "value"]),
        ("qkv", ["query", "key", "value"]),
        ("vo", ["value", "output"]),
        ("attention", ["query", "key", "value", "output"]),
        ("mlp", ["up", "down"]),
        ("all", ["query", "key", "value", "output", "up", "down"]),
    ],
)
def test_targets_choose_kinds(inventory: Inventory, targets: Targets, kinds: list[str]) -> None:
    assert names(select(inventory, targets, "last")) == [f"5.{kind}" for kind in kinds]


@pytest.mark.parametrize(
    ("layers", "blocks"),
    [
        ("all", [0, 1, 2, 3, 4, 5]),
        ("last-half", [3, 4, 5]),
        ("last", [5]),
        (1, [5]),
        (4, [2, 3, 4, 5]),
        (6, [0, 1, 2, 3, 4, 5]),
        (99, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_layers_choose_blocks(inventory: Inventory, layers: LayerRange | int, blocks: list[int]) -> None:
    assert [layer.block for layer in select(inventory, "vo", layers) if layer.kind == "value"] == blocks


def test_half_of_an_odd_number_of_blocks_is_the_larger_half() -> None:
    layers = tuple(LinearLayer(f"block.{block}.value", "value", block, 2, 2) for block in range(5))
    inventory = Inventory("odd", layers, 20, 0, ())
    assert names(select(inventory, "qv", "last-half")) == ["2.value", "3.value", "4.value"]


def test_one_is_the_last_matching_weight(inventory: Inventory) -> None:
    assert names(select(inventory, "qkv", "one")) == ["5.value"]
    assert names(select(inventory, "mlp", "one")) == ["5.down"]


@pytest.mark.parametrize(("targets", "chosen"), [("qv", True), ("qkv", True), ("vo", True), ("mlp", False)])
def test_a_fused_projection_comes_with_any_of_its_parts(targets: Targets, chosen: bool) -> None:
    fused: Kind = "query_key_value"
    inventory = Inventory("gpt2", (LinearLayer("block.0.fused", fused, 0, 6, 2, transposed=True),), 12, 0, ())
    assert bool(select(inventory, targets, "all")) is chosen


@given(st.sampled_from(TARGETS), st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 8)))
def test_a_choice_is_a_part_of_all_in_order(targets: Targets, layers: LayerRange | int) -> None:
    kinds: list[Kind] = ["query", "value", "output", "gate", "up"]
    every = tuple(LinearLayer(f"{b}.{kind}", kind, b, 2, 3) for b in range(4) for kind in kinds)
    inventory = Inventory("any", every, 120, 0, ())
    chosen = select(inventory, targets, layers)
    assert chosen
    assert [layer for layer in every if layer in chosen] == list(chosen)
