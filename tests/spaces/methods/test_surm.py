"""Sizes, places and refusals of SURM's families, without a model."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spaces.errors import RequestError
from spaces.methods._surm import SurmConfiguration, surm_layers
from spaces.methods.base.block_grid import divisors, grid
from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.methods.surm_kronecker import kronecker_shapes
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory, LinearLayer
from spaces.space.search_space import Space
from tests.spaces.methods.drawn import PLACES, inventories

FAMILIES = ("surm-circulant", "surm-toeplitz", "surm-kronecker", "surm-ldr")
RECTANGLE = Inventory("small", (LinearLayer("0.up", "up", 0, 24, 16),), 384, 0, ())


def count(name: str, values: dict[str, Any], inventory: Inventory) -> int:
    return method(name).count(configuration(name, values), inventory).trainable_parameters


@pytest.mark.parametrize("name", FAMILIES)
def test_smaller_blocks_spend_an_allowance(name: str, inventory: Inventory) -> None:
    known, start = method(name), configuration(name, {"targets": "qkv"})
    reached = set()
    for allowance in range(14_000, 120_000, 1_000):
        fitted = known.fit(start, inventory, allowance)
        reached.add(known.count(fitted, inventory).trainable_parameters)
        assert fitted.layers == "all"
    assert min(reached) >= 13_824
    # Nowhere between 13,824 and 120,000 is the next size as far as twice the last.
    steps = sorted(reached)
    assert all(other <= 2 * one for one, other in itertools.pairwise(steps))
    assert steps[-1] > 60_000


@pytest.mark.parametrize("name", FAMILIES)
@given(inventory=inventories(), places=PLACES, allowance=st.integers(0, 3000), behind=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_fit_behind_the_weights_is_within_its_allowance(
    name: str, inventory: Inventory, places: dict[str, Any], allowance: int, behind: bool
) -> None:
    known = method(name)
    values = places | {"trainable_alpha": True, "placement": "adapter" if behind else "lora"}
    start = configuration(name, values)
    try:
        fitted = known.fit(start, inventory, allowance)
    except Unfit as unfit:
        smallest = unfit.smallest
        if not smallest:
            return
        fitted = known.fit(start, inventory, smallest)
        assert known.count(fitted, inventory).trainable_parameters == smallest > allowance
        allowance = smallest
    found = known.count(fitted, inventory)
    assert found.trainable_parameters <= allowance
    assert (fitted.targets, fitted.placement) == (start.targets, start.placement)
    if behind:
        kinds = {layer.kind for layer in surm_layers(fitted, inventory)}
        assert kinds <= {"output", "down"}


@pytest.mark.parametrize(
    ("given_", "named", "places"),
    [
        (None, "all", {"output", "down"}),
        ("qv", "all", {"output", "down"}),
        ("qkv", "all", {"output", "down"}),
        ("all", "all", {"output", "down"}),
        ("vo", "attention", {"output"}),
        ("attention", "attention", {"output"}),
        ("mlp", "mlp", {"down"}),
    ],
)
def test_targets_choose_between_houlsbys_places(
    given_: str | None, named: str, places: set[str], inventory: Inventory
) -> None:
    values = {"placement": "adapter"} | ({"targets": given_} if given_ else {})
    chosen = configuration("surm-ldr", values)
    assert isinstance(chosen, SurmConfiguration)
    assert chosen.targets == named
    assert {layer.kind for layer in surm_layers(chosen, inventory)} == places
    one = chosen.model_copy(update={"layers": "one"})
    assert [layer.kind for layer in surm_layers(one, inventory)] == ["down" if "down" in places else "output"]
    assert configuration("surm-ldr", chosen.model_dump()) == chosen


def test_a_rectangle_is_a_crop_or_a_grid() -> None:
    assert count("surm-circulant", {"targets": "mlp"}, RECTANGLE) == 2 * 24
    assert count("surm-circulant", {"targets": "mlp", "block_size": 8}, RECTANGLE) == 2 * 24 * 16 // 8
    assert count("surm-toeplitz", {"targets": "mlp", "symmetric": False}, RECTANGLE) == 4 * 24 - 2
    assert count("surm-kronecker", {"targets": "mlp"}, RECTANGLE) == 2 * 24
    # f = 4: a divisor of 8 with f² at most 16.
    assert count("surm-kronecker", {"targets": "mlp", "factors": "square"}, RECTANGLE) == 16 + 6 * 4
    assert count("surm-ldr", {"targets": "mlp", "displacement_rank": 24}, RECTANGLE) == 2 * 24 * 24


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        (
            "surm-circulant",
            {"block_size": 5},
            "0.up: block_size = 5 does not divide 24 × 16; allowed: whole, 1, 2, 4, 8",
        ),
        ("surm-ldr", {"block_size": 5}, "0.up: block_size = 5 does not divide 24 × 16; allowed: whole, 1, 2, 4, 8"),
        (
            "surm-ldr",
            {"displacement_rank": 25},
            "0.up: displacement_rank = 25 is above the order of 24 × 16; allowed: 1 to 24",
        ),
        (
            "surm-ldr",
            {"displacement_rank": 9, "block_size": 8},
            "0.up: displacement_rank = 9 is above the order of 8 × 8; allowed: 1 to 8",
        ),
        (
            "surm-circulant",
            {"placement": "adapter"},
            "placement = adapter, targets = mlp: small has no matching output",
        ),
    ],
)
def test_what_cannot_exist_names_the_layer_and_what_is_allowed(name: str, values: dict[str, Any], reason: str) -> None:
    known, chosen = method(name), configuration(name, values | {"targets": "mlp"})
    with pytest.raises(Unfit) as caught:
        known.count(chosen, RECTANGLE)
    assert str(caught.value) == reason
    assert caught.value.smallest == (0 if "placement" in values else 48)


def test_a_block_size_that_a_fit_may_not_change_is_refused_there_too() -> None:
    with pytest.raises(Unfit, match="block_size = 5 does not divide"):
        method("surm-ldr").fit(configuration("surm-ldr", {"targets": "mlp", "block_size": 5}), RECTANGLE, 10_000)


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("surm-circulant", {"block_size": 7}, r"block_size = 7 does not divide 384 × 384; allowed: whole, 1, 2, 3, 4,"),
        ("surm-ldr", {"block_size": 7}, r"block_size = 7 does not divide 384 × 384"),
        ("surm-ldr", {"displacement_rank": [400, 500]}, r"displacement_rank = 400 is above the order of 384 × 384"),
    ],
)
def test_a_search_for_what_cannot_exist_is_refused_with_the_reason(
    name: str, values: dict[str, Any], reason: str, inventory: Inventory
) -> None:
    with pytest.raises(RequestError, match=rf"^methods\.{name}: block\.\d\.\w+: {reason}"):
        Space({name: values | {"targets": "attention"}}, inventory, Budget(68_000, 200)).check()


@pytest.mark.parametrize(
    "values",
    [{"block_size": 0}, {"block_size": "half"}, {"placement": "parallel"}, {"alpha": 0}, {"dropout": 1.0}],
)
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    for name in FAMILIES:
        with pytest.raises(ValidationError):
            configuration(name, values)
    with pytest.raises(ValidationError):
        configuration("surm-ldr", {"displacement_rank": 0})
    with pytest.raises(ValidationError):
        configuration("surm-kronecker", {"factors": "round"})


@given(st.integers(1, 3000))
def test_divisors_and_the_papers_factors(number: int) -> None:
    assert divisors(number) == [one for one in range(1, number + 1) if number % one == 0]
    (wide, narrow), other = kronecker_shapes("paper", grid("whole", number, 1))
    assert other == (narrow, wide)
    assert wide * narrow == number
    assert min(a + number // a for a in divisors(number)) == wide + narrow
    assert wide >= narrow
