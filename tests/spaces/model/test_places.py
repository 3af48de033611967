"""Places that a spec names: layers by name or pattern as PEFT matches them, and blocks by number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, parse_knob
from spaces.methods.base.method import PlacedConfiguration
from spaces.methods.registry import configuration, method
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory, OtherModule, select
from spaces.model.places import LayerNames, LayerPattern, as_text, from_text
from spaces.space.from_settings import suggestion
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from spaces.spec.spec import SearchSpec
from tests.spaces.spec.specs import MINIMAL

BUDGET = Budget(400_000, 1)


def names(inventory: Inventory, **place: Any) -> list[str]:
    chosen = configuration("lora", place)
    assert isinstance(chosen, PlacedConfiguration)
    return [layer.name for layer in select(inventory, chosen.targets, chosen.layers)]


def test_names_are_ends_of_full_names() -> None:
    assert LayerNames(names=("Wo",)).matches("model.0.attn.Wo")
    assert LayerNames(names=("attn.Wo",)).matches("attn.Wo")
    assert not LayerNames(names=("Wo",)).matches("model.0.attn.QWo")
    assert not LayerNames(names=("attn",)).matches("model.0.attn.Wo")


def test_a_pattern_matches_the_whole_name() -> None:
    assert LayerPattern(regex=r".*\.\d+\.W[oi]").matches("model.0.Wo")
    assert not LayerPattern(regex="Wo").matches("model.0.Wo")


def test_layers_are_chosen_within_blocks(inventory: Inventory) -> None:
    assert names(inventory, targets={"names": ["key", "up"]}, layers=[4, 1]) == [
        "block.1.key",
        "block.1.up",
        "block.4.key",
        "block.4.up",
    ]
    assert names(inventory, targets={"regex": r"block\.[024]\.up"}) == ["block.0.up", "block.2.up", "block.4.up"]
    assert names(inventory, targets={"names": ["key"]}, layers={"first": 2, "last": 3}) == [
        "block.2.key",
        "block.3.key",
    ]
    assert names(inventory, targets={"names": ["key"]}, layers="one") == ["block.5.key"]


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"names": []}, "not a choice of layers"),
        ({"names": ["a", 1]}, "not a choice of layers"),
        ({"names": ["a"], "regex": "b"}, "not a choice of layers"),
        ({"regex": "("}, "no regular expression"),
        ({"layers": ["a"]}, r"allowed: \{names: \[NAME, …\]\}, \{regex: PATTERN\}"),
    ],
)
def test_other_mappings_are_refused(targets: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        configuration("lora", {"targets": targets})


@pytest.mark.parametrize("layers", [[], [-1], {"first": 3, "last": 2}, {"first": 1}, 0, ["all"]])
def test_other_layers_are_refused(layers: Any) -> None:
    with pytest.raises(ValueError, match="layers"):
        configuration("lora", {"layers": layers})


@pytest.mark.parametrize("place", [{"names": ["Wqkv", "Wo"]}, {"regex": "a|ä"}, {"first": 0, "last": 2}, [2, 3, 7]])
def test_a_place_is_a_text_among_choices(place: Any) -> None:
    knob = parse_knob(["all", place])
    assert isinstance(knob, Choice)
    assert [from_text(value) for value in knob.values] == ["all", place]
    assert parse_knob([place]) == Choice((as_text(place),))


def test_a_search_chooses_among_kinds_and_names(inventory: Inventory) -> None:
    narrowed = {"lora": {"targets": ["qv", {"names": ["up"]}], "layers": [[1, 2]], "rank": 2}}
    space = Space(narrowed, inventory, BUDGET)
    space.check()
    by_name = space.propose(FixedSuggester({"lora.targets": as_text({"names": ["up"]})}))
    assert [layer.name for layer in by_name.count.layers] == ["block.1.up", "block.2.up"]
    assert by_name.settings["targets"] == {"names": ["up"]}
    assert by_name.settings["layers"] == [1, 2]
    again = suggestion(space, {"method": "lora", **by_name.settings})
    assert again.proposal.signature == by_name.signature
    assert again.knobs["lora.targets"] == as_text({"names": ["up"]})


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        (
            {"targets": {"names": ["up", "Wqkv"]}},
            r"^methods\.lora\.targets = \{names: \[Wqkv\]\}: bert has no such linear layer; its layers: query, key, ",
        ),
        ({"targets": {"regex": "up"}}, r"^methods\.lora\.targets = \{regex: up\}: bert has no such linear layer;"),
        ({"targets": ["qv", {"names": ["norm"]}]}, r"block\.0\.norm is a LayerNorm and cannot be adapted; its layers"),
        ({"layers": [[2, 6]]}, r"^methods\.lora\.layers = \[2, 6\]: bert has 6 blocks, numbered from 0; .* at most 5$"),
        ({"layers": {"first": 2, "last": 9}}, r"^methods\.lora\.layers = \{first: 2, last: 9\}: bert has 6 blocks"),
    ],
)
def test_places_that_the_model_lacks_are_refused(inventory: Inventory, knobs: Any, line: str) -> None:
    model = replace(inventory, others=(OtherModule("block.0.norm", "a LayerNorm"),))
    with pytest.raises(RequestError, match=line):
        Space({"lora": knobs}, model, BUDGET).check()


def test_every_method_with_targets_counts_layers_by_name(inventory: Inventory) -> None:
    from spaces.methods.registry import methods

    placed = [name for name, known in methods().items() if known.placed]
    assert len(placed) > 15
    for name in placed:
        by_kind = configuration(name, {"targets": "vo", "layers": 2})
        by_name = configuration(name, {"targets": {"names": ["value", "output"]}, "layers": [4, 5]})
        assert method(name).count(by_name, inventory) == method(name).count(by_kind, inventory), name


def test_a_spec_names_what_is_allowed_in_place_of_another_mapping() -> None:
    with pytest.raises(ValueError, match=r"methods\.lora\.targets = .*allowed: \{names: \[NAME, …\]\}, \{reg"):
        SearchSpec.model_validate(MINIMAL | {"methods": {"lora": {"targets": {"name": ["a"]}}}})


def test_own_parameters_are_chosen_by_the_numbers_of_blocks(inventory: Inventory) -> None:
    for layers, blocks in (([0, 4], {"0", "4"}), ({"first": 2, "last": 3}, {"2", "3"}), (1, {"5"})):
        counted = method("bitfit").count(configuration("bitfit", {"layers": layers}), inventory)
        assert {one.name.split(".")[1] for one in counted.layers} == blocks
    with pytest.raises(RequestError, match=r"methods\.bitfit\.layers = \[6\]: bert has 6 blocks"):
        Space({"bitfit": {"layers": [[6]]}}, inventory, BUDGET).check()
    assert Space({"bitfit": {"layers": [[0, 4]]}}, inventory, BUDGET).names == ("bitfit",)
