"""A spec that narrows `layers` or `targets` gets nothing else, whatever a fit would like."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, parse_knob
from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method, methods
from spaces.model.budget import Budget
from spaces.model.inventory import LAYER_RANGES, TARGETS, Inventory
from spaces.space.proposal import Proposal, Rejected
from spaces.space.sampling import MULTIPLIER, PRIOR_SHARE, ConfigurationSampler
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from tests.spaces.mini_lm import BLOCKS, WIDTH
from tests.spaces.random_suggester import RandomSuggester

FIELDS = {name: known.configuration.model_fields.keys() & {"layers", "targets"} for name, known in methods().items()}
PLACED = tuple(name for name, fields in FIELDS.items() if fields)
WHOLE_BLOCKS = ("bitfit", "ln-tuning")  # their `layers` is all or a number


@st.composite
def narrowings(draw: st.DrawFn, name: str) -> dict[str, Any]:
    ranges = ("all",) if name in WHOLE_BLOCKS else LAYER_RANGES
    places = st.one_of(st.sampled_from(ranges), st.integers(1, BLOCKS))
    bounds = st.lists(st.integers(1, BLOCKS), min_size=2, max_size=2).map(sorted)
    layers = st.one_of(
        places,
        st.lists(places, min_size=1, max_size=3, unique=True),
        bounds.map(lambda ends: {"low": ends[0], "high": ends[1]}),
    )
    targets = st.one_of(st.sampled_from(TARGETS), st.lists(st.sampled_from(TARGETS), min_size=1, unique=True))
    chosen = draw(st.fixed_dictionaries({}, optional={"layers": layers, "targets": targets}))
    return {knob: value for knob, value in chosen.items() if knob in FIELDS[name]}


def within(proposal: Proposal, narrowed: dict[str, Any]) -> bool:
    def holds(value: Any, allowed: Any) -> bool:
        domain = parse_knob(allowed)
        return value in domain.values if isinstance(domain, Choice) else domain.low <= value <= domain.high

    return all(holds(proposal.settings[knob], allowed) for knob, allowed in narrowed.items())


@pytest.mark.parametrize("name", PLACED)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), limit=st.integers(100, 400_000), weight=st.none() | st.integers(1_000, 400_000))
def test_a_narrowed_place_is_kept(
    name: str, data: st.DataObject, limit: int, weight: int | None, inventory: Inventory
) -> None:
    narrowed = data.draw(narrowings(name))
    space = Space({name: narrowed}, inventory, Budget(limit, 1, bytes=weight))
    try:
        space.check()
    except RequestError:
        return
    for point in space.published():
        assert within(space.propose(FixedSuggester(point)), narrowed)
    generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
    for _ in range(10):
        with contextlib.suppress(Rejected):
            assert within(space.propose(RandomSuggester(generator)), narrowed)


def test_a_method_sized_by_its_place_alone_takes_a_fixed_one_exactly(inventory: Inventory) -> None:
    space = Space({"ia3": {"layers": "all", "targets": "qv"}}, inventory, Budget(68_000, 10))
    draws = [space.propose(RandomSuggester(np.random.default_rng(seed))) for seed in range(20)]
    assert {draw.count.trainable_parameters for draw in draws} == {2 * BLOCKS * WIDTH}


def test_layers_in_numbers_have_published_defaults(inventory: Inventory) -> None:
    space = Space({"lora": {"layers": {"low": 2, "high": 4}}}, inventory, Budget(400_000, 200))
    assert [space.propose(FixedSuggester(point)).settings["layers"] for point in space.published()] == [4]


@pytest.mark.parametrize("layers", [7, [1, 7], {"low": 2, "high": 99}])
@pytest.mark.parametrize("name", [name for name in PLACED if "layers" in FIELDS[name]])
def test_more_blocks_than_the_model_has_are_refused(name: str, layers: Any, inventory: Inventory) -> None:
    most = layers["high"] if isinstance(layers, dict) else 7
    line = rf"^methods\.{name}\.layers = {most}: bert has fewer blocks; allowed: at most {BLOCKS}$"
    with pytest.raises(RequestError, match=line):
        Space({name: {"layers": layers}}, inventory, Budget(400_000, 1)).check()
    with pytest.raises(Unfit, match=f"layers = {most}: .*; allowed: at most {BLOCKS}$"):
        method(name).count(configuration(name, {"layers": most}), inventory)


def sampler_of(inventory: Inventory, methods: dict[str, dict[str, Any]], budget: Budget) -> ConfigurationSampler:
    return ConfigurationSampler(methods, inventory, budget)


def test_a_size_is_a_share_of_what_the_budget_leaves_beside_a_counted_head(inventory: Inventory) -> None:
    head = inventory.head_parameters
    counted = sampler_of(inventory, {"lora": {}}, Budget(head + 10_000, 100, count_head=True))
    assert counted.share_of(head + 5_000) == pytest.approx(0.5)
    assert (counted.share_of(1), counted.share_of(10**9)) == (0.01, 1.0)
    assert sampler_of(inventory, {"lora": {}}, Budget(10_000, 100)).share_of(5_000) == pytest.approx(0.5)


def test_the_rate_of_a_single_parameter_grows_with_the_root_of_the_stated_size(inventory: Inventory) -> None:
    known = method("dst")
    sampler = sampler_of(inventory, {"dst": {}}, Budget(10_000, 1))
    single = known.count(known.fit(configuration("dst", {"silo": "global"}), inventory, 1), inventory)
    stated = known.count(
        known.fit(known.configuration(), inventory, int(PRIOR_SHARE * inventory.base_parameters)), inventory
    )
    assert single.trainable_parameters == 1
    assert sampler.rate_factor(known, single) == pytest.approx(stated.trainable_parameters**0.5)
    assert sampler.rate_factor(known, stated) == 1.0


def test_the_prior_of_a_learning_rate_is_the_middle_of_its_multipliers() -> None:
    assert MULTIPLIER.low * MULTIPLIER.high == 1.0
    assert MULTIPLIER.log


def test_a_method_that_is_too_large_for_its_layers_takes_fewer_unless_they_are_narrowed(inventory: Inventory) -> None:
    everywhere = FixedSuggester({"targets": "qv", "layers": "all", "lora.layers": "all", "share": 1.0})
    smallest = 2 * WIDTH  # of one weight; at all layers it trains twelve times as many
    one = sampler_of(inventory, {"lora": {}}, Budget(smallest, 1)).sample("lora", everywhere)
    assert (one.settings["layers"], one.count.trainable_parameters) == ("one", smallest)
    two = sampler_of(inventory, {"lora": {}}, Budget(4 * smallest, 1)).sample("lora", everywhere)
    assert (two.settings["layers"], two.count.trainable_parameters) == (2, 4 * smallest)
    with pytest.raises(Rejected, match="the smallest lora here trains 9,216 parameters"):
        sampler_of(inventory, {"lora": {"layers": "all"}}, Budget(smallest, 1)).sample("lora", everywhere)
    with pytest.raises(Rejected, match="full"):
        sampler_of(inventory, {"full": {}}, Budget(smallest, 1)).sample("full", everywhere)
