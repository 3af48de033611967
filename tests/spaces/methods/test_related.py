"""Counts and fits of the methods related to the seed methods' papers, on MiniLM's shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.model.inventory import BaseParameter, Inventory, LinearLayer


def count(name: str, inventory: Inventory, **values: Any) -> tuple[int, int, int]:
    found = method(name).count(configuration(name, values), inventory)
    return found.trainable_parameters, found.stored_parameters, found.adapter_bytes


def with_biases(inventory: Inventory) -> Inventory:
    biases = tuple(
        BaseParameter(f"{layer.name}.bias", (layer.out_features,), "bias", layer.block) for layer in inventory.layers
    )
    return replace(inventory, parameters=(*inventory.parameters, *biases))


def test_counts_of_a_known_model(inventory: Inventory) -> None:
    assert count("lora-xs", inventory, rank=16) == (12 * 256, 12 * 256, 12 * (4 * 256 + 4 * 16))
    assert count("melora", inventory, rank=8, groups=4) == (73_728, 73_728, 294_912)
    assert count("ether", inventory, targets="mlp", side="input") == (6 * 1_920, 6 * 1_920, 4 * 6 * 1_920)
    assert count("ether", inventory, targets="mlp", layers="one", side="output")[0] == 384
    assert count("ether-plus", inventory, targets="qv", blocks=16)[0] == 12 * 2 * 768
    assert count("ether-plus", inventory, targets="mlp", layers="one", side="input")[0] == 2 * 1_536
    assert count("hadamard", with_biases(inventory))[0] == 6 * 2 * 384
    assert count("hadamard", inventory)[0] == 6 * 384
    assert count("pasta", inventory) == (6 * 2 * 384, 6 * 2 * 384, 4 * 6 * 2 * 384)
    assert count("pasta", inventory, token_ids=101.0, layers="last")[0] == 384
    assert count("pasta", inventory, layers="last")[0] == 768


def test_the_papers_counts(inventory: Inventory) -> None:
    """BERT-large's special tokens, RoBERTa-large's LoRA-XS and LoRTA, and MELoRA as LoRA of the same rank."""
    kinds = ("query", "value", "output", "down")
    layers = tuple(
        LinearLayer(f"{block}.{kind}", kind, block, 1024, 4096 if kind == "down" else 1024)  # type: ignore[arg-type]
        for block in range(24)
        for kind in kinds
    )
    large = Inventory("bert", layers, 3 * 10**8, 0, (), (), inventory.text)
    assert count("pasta", large)[0] == 49_152
    assert count("pasta", large, token_ids="101,102,103")[0] == 73_728
    assert count("lora-xs", large, targets="all", rank=25)[0] == 60_000
    square = replace(large, layers=tuple(layer for layer in layers if layer.kind != "down"))
    lorta = count("lorta", square, targets="attention", rank=3, heads=16)
    assert lorta[0] == 3 * (1024 + 64 + 16 + 24 + 3)
    assert count("melora", large, rank=8, groups=8)[0] == count("lora", large, rank=8)[0]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lora-xs", {"rank": 385}, "rank = 385: block.0.query is 384 × 384; allowed: at most 384"),
        ("melora", {"groups": 5}, "groups = 5: does not divide block.0.query of 384 × 384"),
        ("melora", {"groups": 8, "rank": 49}, "rank = 49: above the smallest group; allowed: at most 48"),
        ("lorta", {"heads": 5}, "heads = 5: does not divide the input features of block.0.query of 384 × 384"),
        ("lorta", {"rank": 385}, "rank = 385: above the smallest weight; allowed: at most 384"),
        ("ether", {"blocks": 7}, "blocks = 7: does not divide the input features of block.0.query of 384 × 384"),
    ],
)
def test_what_cannot_exist_is_unfit(name: str, values: dict[str, Any], message: str, inventory: Inventory) -> None:
    with pytest.raises(Unfit, match=message):
        count(name, inventory, **values)


def test_a_model_without_the_place_is_unfit(inventory: Inventory) -> None:
    with pytest.raises(Unfit, match="reads no tokens"):
        count("pasta", replace(inventory, text=None))
    with pytest.raises(Unfit, match="token_ids = 101,40000: bert knows ids below 30,522"):
        count("pasta", inventory, token_ids="101,40000")
    assert inventory.text is not None
    nameless = replace(inventory, text=replace(inventory.text, special_tokens=()))
    with pytest.raises(Unfit, match=r"token_ids = special: bert names no special tokens; allowed: ids below 30,522$"):
        count("pasta", nameless)
    with pytest.raises(Unfit, match=r"first_token = none: bert names no special tokens; allowed: an id below 30,522$"):
        count("trainable-tokens", nameless)
    bare = replace(inventory, layers=tuple(layer for layer in inventory.layers if layer.kind != "output"))
    with pytest.raises(Unfit, match="no attention output projection"):
        count("hadamard", bare)


def test_ranks_are_as_large_as_the_allowance_pays_for(inventory: Inventory) -> None:
    known = method("lora-xs")
    start = configuration("lora-xs", {"layers": "last"})
    for allowance, rank in ((2, 1), (7, 1), (8, 2), (2 * 49 - 1, 6), (2 * 49, 7), (10**7, 384)):
        assert known.fit(start, inventory, allowance).rank == rank


@pytest.mark.parametrize("name", ["ether", "hadamard", "pasta"])
def test_the_last_blocks_are_kept(name: str, inventory: Inventory) -> None:
    known = method(name)
    whole = configuration(name, {})
    a_block = known.count(whole, inventory).trainable_parameters // 6
    for blocks in range(1, 6):
        assert known.fit(whole, inventory, blocks * a_block).layers == blocks
        assert known.fit(whole, inventory, (blocks + 1) * a_block - 1).layers == blocks
    assert known.fit(whole, inventory, 6 * a_block) == whole
    last = configuration(name, {"layers": "last"})
    assert known.fit(last, inventory, 10 * a_block) == last
