"""Fitting methods that adapt layer by layer, against trying every size and every place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.methods.base.layer_method import LayerMethod, Layers, common_divisors, fit_place, ranks
from spaces.methods.base.method import PlacedConfiguration, Unfit
from spaces.methods.registry import methods
from spaces.model.inventory import Inventory, LinearLayer
from tests.spaces.methods.drawn import inventories


class RankedConfiguration(PlacedConfiguration):
    """A rank for every target."""

    learning_rate: float = 1.0
    rank: int = 1


class Ranked(LayerMethod[RankedConfiguration]):
    """Trains `rank` times the sides of a target."""

    name, summary, source = "ranked", "for tests", "no paper"
    configuration = RankedConfiguration
    size_knob = "rank"
    linear_only = True

    def parameters(self, configuration: RankedConfiguration, layer: LinearLayer) -> int:
        return configuration.rank * (layer.out_features + layer.in_features)

    def sizes(self, configuration: RankedConfiguration, layers: Layers) -> range:
        return ranks(layers)


class Placed(Ranked):
    """The same without a size knob."""

    size_knob = None

    def obstacle(self, configuration: RankedConfiguration, layer: LinearLayer) -> str | None:
        return f"{layer.name} is odd" if layer.out_features % 2 else None


def counted(method: Ranked, configuration: RankedConfiguration, inventory: Inventory) -> int | None:
    try:
        return method.count(configuration, inventory).trainable_parameters
    except Unfit:
        return None


@given(inventories(), st.integers(0, 2_000), st.sampled_from(["qv", "all"]))
def test_a_fit_takes_the_largest_size_within_the_allowance(inventory: Inventory, allowance: int, targets: Any) -> None:
    start = RankedConfiguration(targets=targets)
    sizes = [counted(Ranked(), start.model_copy(update={"rank": rank}), inventory) for rank in range(1, 40)]
    within = [rank for rank, size in enumerate(sizes, start=1) if size is not None and size <= allowance]
    if within:
        assert Ranked().fit(start, inventory, allowance).rank == max(within)
        return
    with pytest.raises(Unfit) as raised:
        Ranked().fit(start, inventory, allowance)
    assert raised.value.smallest == (sizes[0] or 0)


@given(inventories(), st.integers(0, 500))
def test_a_place_is_as_many_of_the_last_blocks_as_fit_or_one_weight(inventory: Inventory, allowance: int) -> None:
    start = RankedConfiguration(targets="all")
    whole = sum(one.out_features + one.in_features for one in inventory.layers)

    def of_last(blocks: int) -> int:
        kept = [one for one in inventory.layers if one.block >= inventory.blocks - blocks]
        return sum(one.out_features + one.in_features for one in kept)

    single = inventory.layers[-1].out_features + inventory.layers[-1].in_features
    within = [blocks for blocks in range(1, inventory.blocks + 1) if of_last(blocks) <= allowance]
    even = all(one.out_features % 2 == 0 for one in inventory.layers)
    if not even:
        return
    if whole <= allowance:
        assert fit_place(Placed(), start, inventory, allowance) == start
    elif within:
        assert Placed().fit(start, inventory, allowance).layers == max(within)
    elif single <= allowance:
        assert Placed().fit(start, inventory, allowance).layers == "one"
    else:
        with pytest.raises(Unfit, match=f"the smallest ranked here trains {single:,} parameters") as raised:
            Placed().fit(start, inventory, allowance)
        assert raised.value.smallest == single


def test_blocks_without_a_target_are_passed_over() -> None:
    layers = (LinearLayer("0.query", "query", 0, 2, 2), LinearLayer("1.up", "up", 1, 2, 2))
    fitted = Placed().fit(RankedConfiguration(targets="qv", layers=2), Inventory("odd", layers, 8, 0, ()), 4)
    assert fitted.layers == 2
    with pytest.raises(Unfit) as raised:
        Placed().fit(RankedConfiguration(targets="qv", layers=2), Inventory("odd", layers, 8, 0, ()), 3)
    assert raised.value.smallest == 4


def test_a_rank_above_the_smallest_side_and_an_obstacle_are_unfit() -> None:
    layers = (LinearLayer("0.query", "query", 0, 3, 8), LinearLayer("0.value", "value", 0, 8, 8))
    inventory = Inventory("small", layers, 88, 0, ())
    with pytest.raises(Unfit, match=r"^rank = 4: more than the targets take; allowed: at most 3$") as raised:
        Ranked().count(RankedConfiguration(rank=4), inventory)
    assert raised.value.smallest == 27
    with pytest.raises(Unfit, match=r"^0\.query is odd$"):
        Placed().count(RankedConfiguration(), inventory)
    assert Ranked().count(RankedConfiguration(rank=3), inventory).adapter_bytes == 4 * 3 * 27


def test_conv1d_is_named_where_peft_does_not_support_it() -> None:
    layer = LinearLayer("h.0.attn.c_attn", "query_key_value", 0, 9, 3, transposed=True)
    line = r"^PEFT does not support ranked on Conv1D layers such as h\.0\.attn\.c_attn$"
    with pytest.raises(Unfit, match=line) as raised:
        Ranked().count(RankedConfiguration(), Inventory("gpt2", (layer,), 27, 0, ()))
    assert raised.value.smallest == 0


@given(st.lists(st.integers(1, 200), min_size=1, max_size=4))
def test_common_divisors_divide_all(sides: list[int]) -> None:
    expected = [one for one in range(1, 201) if all(side % one == 0 for side in sides)]
    assert common_divisors(sides) == expected


def test_sizes_of_one_count_are_one() -> None:
    layers = (LinearLayer("0.query", "query", 0, 4, 4),)
    method = Ranked()
    assert method.increasing(RankedConfiguration(), [3, 1, 2, 3, 1], layers) == [1, 2, 3]


def test_a_method_whose_place_alone_sets_its_size_has_no_sizes(inventory: Inventory) -> None:
    sized_by_place = [known for known in methods().values() if isinstance(known, LayerMethod) and not known.size_knob]
    assert {"ia3"} <= {known.name for known in sized_by_place}
    for known in sized_by_place:
        assert list(known.sizes(known.configuration(), inventory.layers)) == []
