"""Counts, fits and draws of every method, without a model."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spaces.methods.base.knobs import Choice
from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method, methods
from spaces.methods.sparta import choose_entries, density_for, entries_at
from spaces.model.inventory import Inventory, LinearLayer
from tests.spaces.methods.drawn import PLACES, inventories, placed


@pytest.mark.parametrize("name", methods())
def test_a_method_is_defined_in_the_file_of_its_name(name: str) -> None:
    assert type(method(name)).__module__ == f"spaces.methods.{name.replace('-', '_')}"


@pytest.mark.parametrize("name", methods())
@given(inventory=inventories(), places=PLACES, allowance=st.integers(0, 3000))
@settings(max_examples=40, deadline=None)
def test_a_fit_is_within_its_allowance_or_says_the_least_that_would_be(
    name: str, inventory: Inventory, places: dict[str, Any], allowance: int
) -> None:
    known, start = method(name), configuration(name, placed(name, places))
    try:
        fitted = known.fit(start, inventory, allowance)
    except Unfit as unfit:
        least = unfit.smallest
        if least == 0:
            with pytest.raises(Unfit):
                known.count(start, inventory)
            return
        assert least > allowance
        assert known.count(known.fit(start, inventory, least), inventory).trainable_parameters == least
        with pytest.raises(Unfit):
            known.fit(start, inventory, least - 1)
        return
    count = known.count(fitted, inventory)
    assert 0 < count.trainable_parameters <= allowance
    assert (count.head_parameters, count.base_parameters) == (inventory.head_parameters, inventory.base_parameters)
    assert count.peak_updated_parameters >= count.trainable_parameters >= count.stored_parameters
    if known.placed:
        assert sum(layer.trainable_parameters for layer in count.layers) == count.trainable_parameters
        assert fitted.targets == start.targets


@given(inventory=inventories(), places=PLACES, allowance=st.integers(1, 3000))
@settings(max_examples=100, deadline=None)
def test_a_sparse_fit_spends_all_but_what_rounding_takes(
    inventory: Inventory, places: dict[str, Any], allowance: int
) -> None:
    for name in ("sparta", "dst"):
        known = method(name)
        try:
            fitted = known.fit(configuration(name, places), inventory, allowance)
        except Unfit:
            continue
        count = known.count(fitted, inventory)
        sizes = [layer.shape[0] * layer.shape[1] for layer in count.layers]
        # DST rounds down in every weight, and has an entry in each: at the least, one in the smallest.
        lost = 0 if name == "sparta" else len(sizes) - 1
        smallest = min(layer.trainable_parameters for layer in count.layers)
        assert count.trainable_parameters >= min(allowance, sum(sizes)) - lost or (name == "dst" and smallest == 1)


@pytest.mark.parametrize("name", methods())
def test_sizes_grow_with_the_allowance(name: str, inventory: Inventory) -> None:
    known, start = method(name), configuration(name, {})
    sizes = []
    for allowance in (500, 2_000, 20_000, 200_000, 2_000_000, 30_000_000):
        try:
            sizes.append(known.count(known.fit(start, inventory, allowance), inventory).trainable_parameters)
        except Unfit:
            sizes.append(0)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0


def test_counts_of_a_known_model(inventory: Inventory) -> None:
    def trained(name: str, **values: Any) -> tuple[int, int, int]:
        count = method(name).count(configuration(name, values), inventory)
        return count.trainable_parameters, count.stored_parameters, count.adapter_bytes

    assert trained("lora", targets="qv", rank=8) == (73_728, 73_728, 294_912)
    assert trained("lora", targets="mlp", layers="last", rank=1) == (3_840, 3_840, 15_360)
    assert trained("surm-circulant", targets="qkv") == (13_824, 6_912, 27_648)
    assert trained("surm-circulant", targets="mlp", layers="one") == (3_072, 1_536, 6_144)
    assert trained("sparta", targets="vo", density=0.01) == (17_694, 17_694, 141_552)
    assert trained("dst", targets="vo", density=0.01) == (12 * 1_474, 12 * 1_474, 12 * 1_474 * 8)
    assert trained("full") == (22_713_216, 22_713_216, 4 * 22_713_216)
    dst = method("dst").count(configuration("dst", {"targets": "vo"}), inventory)
    assert dst.peak_updated_parameters == 12 * 384 * 384


def test_the_circulant_keeps_the_last_blocks(inventory: Inventory) -> None:
    known = method("surm-circulant")
    start = configuration("surm-circulant", {"targets": "qkv"})
    a_block = 3 * 2 * 384
    for blocks in range(1, 6):
        assert known.fit(start, inventory, blocks * a_block).layers == blocks
        assert known.fit(start, inventory, (blocks + 1) * a_block - 1).layers == blocks
    assert known.fit(start, inventory, 6 * a_block) == start
    assert known.fit(start, inventory, a_block - 1).layers == "one"


def test_lora_stops_at_full_rank() -> None:
    inventory = Inventory("small", (LinearLayer("0.value", "value", 0, 3, 5),), 15, 0, ())
    assert method("lora").fit(configuration("lora", {}), inventory, 10_000).rank == 3


@pytest.mark.parametrize(("name", "density"), [("sparta", 1e-9), ("dst", 1e-6)])
def test_a_density_that_trains_nothing_is_unfit(name: str, density: float, inventory: Inventory) -> None:
    with pytest.raises(Unfit, match="trains nothing"):
        method(name).count(configuration(name, {"density": density}), inventory)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0, 1), st.integers(0, 99))
def test_entries_are_drawn_exactly_and_without_repetition(sizes: list[int], part: float, seed: int) -> None:
    count = int(part * sum(sizes))
    chosen = choose_entries(sizes, count, seed)
    assert [len(one) for one in chosen] == [len(set(one.tolist())) for one in chosen]
    assert sum(len(one) for one in chosen) == count
    assert all(((one >= 0) & (one < size)).all() for one, size in zip(chosen, sizes, strict=True))
    assert all((np.diff(one) > 0).all() for one in chosen)
    again = choose_entries(sizes, count, seed)
    assert all((one == other).all() for one, other in zip(chosen, again, strict=True))


def test_every_entry_is_as_likely_as_any_other() -> None:
    draws = 4_000
    hits = np.zeros(12)
    for seed in range(draws):
        first, second = choose_entries([5, 7], 3, seed)
        hits[first] += 1
        hits[second + 5] += 1
    expected = draws * 3 / 12
    # Six standard deviations of a binomial count.
    assert np.abs(hits - expected).max() < 6 * (draws * 0.25 * 0.75) ** 0.5


@given(st.integers(1, 10**12), st.data())
def test_the_density_for_a_count_gives_that_count(size: int, data: st.DataObject) -> None:
    entries = data.draw(st.integers(1, min(size, 10**10)))
    density = density_for(entries, size)
    assert entries_at(density, size) == entries
    assert 0 < density <= 1
    assert Fraction(density) * size < entries + 1


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_density_means_what_is_written(parts: int, size: int) -> None:
    """Of 100 entries 0.29 are 29, though the product of floats is less."""
    written = Decimal(parts).scaleb(-6)
    assert entries_at(float(written), size) == int(written * size)


@pytest.mark.parametrize("name", methods())
def test_every_method_says_what_it_is(name: str) -> None:
    known = method(name)
    assert known.name == name
    assert known.summary
    assert known.source
    assert known.learning_rate == known.configuration().learning_rate > 0
    fields = known.configuration.model_fields
    assert all(field.description for field in fields.values())
    assert {known.size_knob, *known.knobs} - {None} <= fields.keys()
    for knob, values in known.knobs.items():
        for value in values.values if isinstance(values, Choice) else (values.low, values.high):
            configuration(name, {knob: value})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lora", {"rank": 0}),
        ("lora", {"dropout": 1.0}),
        ("lora", {"layers": 0}),
        ("lora", {"layers": "first"}),
        ("lora", {"scaling": float("inf")}),
        ("lora", {"learning_rate": float("nan")}),
        ("sparta", {"density": 0}),
        ("sparta", {"density": 1.1}),
        ("sparta", {"seed": -1}),
        ("dst", {"reselection_interval": 0}),
        ("dst", {"reselection_end": 0}),
        ("surm-circulant", {"alpha": 0}),
        ("lora-xs", {"rank": 0}),
        ("melora", {"groups": 0}),
        ("ether", {"side": "both"}),
        ("ether-plus", {"blocks": 0}),
        ("lorta", {"heads": 0}),
        ("hadamard", {"targets": "qv"}),
        ("pasta", {"token_ids": ""}),
        ("pasta", {"token_ids": "1,x"}),
        ("pasta", {"token_ids": "7,07"}),
        ("full", {"targets": "qv"}),
        ("full", {"learning_rate": 0}),
    ],
)
def test_values_out_of_range_are_refused(name: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        configuration(name, values)


def test_an_unknown_method_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=f"unknown method 'lorax'; allowed: {', '.join(methods())}$"):
        method("lorax")
