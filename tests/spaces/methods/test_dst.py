"""DST's silos: what they hold, what they may train, and the largest setting within an allowance."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spaces.errors import RequestError
from spaces.methods.base.method import Unfit
from spaces.methods.dst import DstConfiguration, Silo, shares, silos
from spaces.methods.registry import method
from spaces.methods.sparta import density_for, entries_at
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory, LinearLayer
from spaces.space.search_space import Space
from tests.spaces.methods.drawn import PLACES, inventories

DST = method("dst")
SILOS = st.sampled_from(get_args(Silo))


def names(silo: Silo, inventory: Inventory, **values: Any) -> list[list[str]]:
    return [[one.name for one in part] for part in silos(DstConfiguration(silo=silo, **values), inventory.layers)]


def test_the_silos_of_a_known_model(inventory: Inventory) -> None:
    assert names("tensor", inventory) == [[layer.name] for layer in inventory.layers]
    assert names("global", inventory) == [[layer.name for layer in inventory.layers]]
    assert names("module", inventory) == [
        [f"block.{block}.{kind}" for kind in kinds]
        for block in range(6)
        for kinds in (("query", "key", "value", "output"), ("up", "down"))
    ]


@given(inventories(), PLACES, SILOS, st.floats(1e-4, 1.0))
@settings(max_examples=150, deadline=None)
def test_every_silo_trains_its_part_and_splits_it_by_size(
    inventory: Inventory, places: dict[str, Any], silo: Silo, density: float
) -> None:
    configuration = DstConfiguration(silo=silo, density=density, **places)
    try:
        count = DST.count(configuration, inventory)
    except Unfit:
        assume(False)
    chosen = {layer.name: layer for layer in inventory.layers}
    trained = {layer.name: layer.trainable_parameters for layer in count.layers}
    found = silos(configuration, [chosen[name] for name in trained])
    assert sorted(one.name for part in found for one in part) == sorted(trained)
    for part in found:
        size = sum(one.size for one in part)
        entries = sum(trained[one.name] for one in part)
        assert entries == entries_at(density, size) >= 1
        for one in part:
            share = Fraction(entries * one.size, size)
            assert floor(share) <= trained[one.name] <= min(one.size, ceil(share))
    assert count.peak_updated_parameters == sum(chosen[name].size for name in trained)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0, 1))
def test_shares_are_whole_and_complete(sizes: list[int], part: float) -> None:
    count = int(part * sum(sizes))
    found = shares(sizes, count)
    assert sum(found) == count
    assert all(0 <= share <= size for share, size in zip(found, sizes, strict=True))


@given(inventories(), PLACES, SILOS, st.integers(1, 3000))
@settings(max_examples=100, deadline=None)
def test_a_fit_is_the_largest_of_all_densities(
    inventory: Inventory, places: dict[str, Any], silo: Silo, allowance: int
) -> None:
    start = DstConfiguration(silo=silo, **places)
    try:
        fitted = DST.fit(start, inventory, allowance)
    except Unfit:
        assume(False)
    assert fitted.silo == silo
    found = DST.count(fitted, inventory)
    placed = [layer for layer in inventory.layers if layer.name in {one.name for one in found.layers}]
    sizes = [sum(one.size for one in part) for part in silos(start, placed)]
    densities = sorted({density_for(entries, size) for size in set(sizes) for entries in range(1, size + 1)})
    totals = [sum(entries_at(density, size) for size in sizes) for density in densities]
    assert found.trainable_parameters == max(total for total in totals if total <= allowance)


@given(inventories(), PLACES, st.integers(1, 3000))
@settings(max_examples=50, deadline=None)
def test_a_global_silo_meets_any_allowance(inventory: Inventory, places: dict[str, Any], allowance: int) -> None:
    try:
        fitted = DST.fit(DstConfiguration(silo="global", **places), inventory, allowance)
    except Unfit as unfit:
        assume(unfit.smallest > 0)  # there is such a layer
        raise
    count = DST.count(fitted, inventory)
    sizes = [layer.shape[0] * layer.shape[1] for layer in count.layers]
    assert count.trainable_parameters == min(allowance, sum(sizes))


def test_a_silo_too_small_for_the_density_names_it_and_the_way_out(inventory: Inventory) -> None:
    density = 5 / (10 * 384 * 1536)
    for silo, where in (("tensor", r"block\.0\.query"), ("module", r"block\.0\.query and 3 more")):
        with pytest.raises(Unfit, match=where + r" \([\d,]+ entries\) trains nothing; silo = global") as caught:
            DST.count(DstConfiguration(silo=silo, density=density), inventory)
        smallest = caught.value.smallest
        fitted = DST.fit(DstConfiguration(silo=silo), inventory, smallest)
        assert DST.count(fitted, inventory).trainable_parameters == smallest
        with pytest.raises(Unfit, match="silo = global can train a single one"):
            DST.fit(DstConfiguration(silo=silo), inventory, smallest - 1)
    assert DST.count(DstConfiguration(silo="global", density=density), inventory).trainable_parameters == 9


def test_a_search_reaches_a_handful_of_entries_where_it_may(inventory: Inventory) -> None:
    budget = Budget(5, 1)
    assert Space({"dst": {"layers": "all"}}, inventory, budget).names == ("dst",)
    with pytest.raises(RequestError, match=r"smallest possible trains 72 \(dst\)"):
        Space({"dst": {"layers": "all", "targets": "all", "silo": "tensor"}}, inventory, budget).check()


def test_a_decoders_attentions_are_one_module() -> None:
    layers = tuple(
        LinearLayer(f"decoder.0.{name}", kind, 1, 4, 4)
        for name, kind in (("self.q", "query"), ("self.v", "value"), ("cross.q", "query"), ("mlp.wi", "up"))
    )
    assert names("module", Inventory("t5", layers, 64, 0, ())) == [
        ["decoder.0.self.q", "decoder.0.self.v", "decoder.0.cross.q"],
        ["decoder.0.mlp.wi"],
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"density": 0},
        {"density": 1.1},
        {"silo": "layer"},
        {"distance": "squared"},
        {"density_decay": "sine"},
        {"reset_state": "halve"},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DstConfiguration(**values)
