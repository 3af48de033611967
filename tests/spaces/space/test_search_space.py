"""The space: what it proposes lies within the budget, and what it refuses is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, Range
from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.model.budget import Budget
from spaces.model.inventory import LAYER_RANGES, TARGETS, Inventory
from spaces.space.proposal import Rejected
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from tests.spaces.mini_lm import BLOCKS, WIDTH, mini_lm
from tests.spaces.space.random_proposals import proposals

ALL = {name: {} for name in ("lora", "sparta", "surm-circulant", "dst", "full")}


def test_varied_fields_of_the_training_are_knobs_of_every_method(inventory: Inventory) -> None:
    training = {"weight_decay": Range(0.5, 1.0), "optim": Choice(("adamw_torch", "adafactor"))}
    space = Space(ALL, inventory, Budget(68_000, 200), training=training)
    for knobs in space.published():
        assert (knobs["training.weight_decay"], knobs["training.optim"]) == (0.5, "adamw_torch")
    found = proposals(space, seed=1)
    assert {one.training["optim"] for one in found} == {"adamw_torch", "adafactor"}
    assert all(0.5 <= float(one.training["weight_decay"]) <= 1.0 for one in found)
    assert all(one.training == {} for one in proposals(Space(ALL, inventory, Budget(68_000, 200)), seed=1))


@settings(deadline=None, max_examples=25)
@given(limit=st.integers(300, 3_000_000), decades=st.floats(0.5, 4), seed=st.integers(0, 1000), head=st.booleans())
def test_every_proposal_lies_within_the_budget(limit: int, decades: float, seed: int, head: bool) -> None:
    inventory = mini_lm()
    budget = Budget(limit + 770 * head, max(1, int(limit / 10**decades)), count_head=head)
    for proposal in proposals(Space(ALL, inventory, budget), seed, 20):
        counted = method(proposal.method).count(proposal.configuration, inventory)
        assert counted == proposal.count
        assert budget.at_least <= counted.trainable_parameters + 770 * head <= budget.parameters
        assert configuration(proposal.method, proposal.settings) == proposal.configuration


@settings(deadline=None, max_examples=15)
@given(limit=st.integers(1_000, 400_000), seed=st.integers(0, 1000))
def test_a_limit_on_bytes_holds_too(limit: int, seed: int) -> None:
    budget = Budget(68_000, 10, bytes=limit)
    for proposal in proposals(Space(ALL, mini_lm(), budget), seed, 20):
        assert proposal.count.adapter_bytes <= limit


def test_a_share_is_spent_to_the_last_whole_unit(inventory: Inventory) -> None:
    space = Space({"lora": {"targets": "qv", "layers": "all"}}, inventory, Budget(68_000, 10))
    proposal = space.propose(FixedSuggester({"share": 1.0}))
    per_rank = 2 * BLOCKS * 2 * WIDTH
    assert proposal.settings["rank"] == 68_000 // per_rank
    exact = Space({"sparta": {}}, inventory, Budget(68_000, 10)).propose(FixedSuggester({"share": 1.0}))
    assert exact.count.trainable_parameters == 68_000


@pytest.mark.parametrize("name", ["lora", "loha", "melora", "vera", "sparta"])
def test_a_size_that_is_not_there_is_had_with_fewer_blocks(name: str, inventory: Inventory) -> None:
    """No draw is lost, and the place is as wide as the size allows."""
    space = Space({name: {}}, inventory, Budget(68_000, 1))
    generator = np.random.default_rng(0)
    for share in generator.uniform(0.1, 1, 200):
        values = {knob: generator.choice(allowed) for knob, allowed in (("targets", TARGETS), ("layers", LAYER_RANGES))}
        draw = FixedSuggester({"share": share, **{knob: str(value) for knob, value in values.items()}})
        proposal = space.propose(draw)
        allowance = int(draw.used["share"] * 68_000)
        assert proposal.count.trainable_parameters <= allowance
        layers = proposal.settings["layers"]
        if layers != draw.used["layers"]:
            wider = 1 if layers == "one" else layers + 1
            placed = proposal.configuration.model_copy(update={"layers": wider})
            with pytest.raises(Unfit):
                method(name).fit(placed, inventory, allowance)


def test_a_budget_of_one_parameter_is_spent(inventory: Inventory) -> None:
    space = Space({"dst": {}}, inventory, Budget(1, 1))
    assert {one.count.trainable_parameters for one in proposals(space, seed=0)} == {1}


def test_the_published_defaults_come_first_and_fit(inventory: Inventory) -> None:
    space = Space(ALL, inventory, Budget(68_000, 200))
    points = list(space.published())
    assert [point["method"] for point in points] == list(space.names)
    published = {point["method"]: space.propose(FixedSuggester(point)) for point in points}
    assert published["sparta"].settings["targets"] == "vo"
    assert published["surm-circulant"].settings["targets"] == "qkv"
    assert published["dst"].settings["reselection_interval"] == 1
    roomy = Space(ALL, inventory, Budget(1_000_000, 200))
    lora = next(roomy.propose(FixedSuggester(point)) for point in roomy.published() if point["method"] == "lora")
    assert lora.settings["rank"] == 8


def test_a_narrowed_knob_stays_within_its_bounds(inventory: Inventory) -> None:
    narrowed = {"lora": {"rank": [1, 2], "targets": "qv", "learning_rate": {"low": 1e-4, "high": 1e-3, "log": True}}}
    for proposal in proposals(Space(narrowed, inventory, Budget(68_000, 200)), seed=0):
        assert proposal.settings["rank"] in (1, 2)
        assert proposal.settings["targets"] == "qv"
        assert 1e-4 <= proposal.settings["learning_rate"] <= 1e-3


def test_a_refused_value_of_a_knob_is_named(inventory: Inventory) -> None:
    with pytest.raises(RequestError, match=r"methods\.lora\.rank"):
        Space({"lora": {"rank": 0}}, inventory, Budget(68_000, 200)).check()


def test_the_seed_reaches_methods_that_draw(inventory: Inventory) -> None:
    space = Space({"sparta": {}}, inventory, Budget(68_000, 200), seed=7)
    assert space.propose(FixedSuggester({})).settings["seed"] == 7


@pytest.mark.parametrize("name", ["lora", "sparta", "dst", "surm-circulant"])
@given(share=st.floats(1e-4, 1.0), multiplier=st.floats(1 / 8, 8.0))
def test_small_adapters_move_the_weights_as_much_as_large_ones(name: str, share: float, multiplier: float) -> None:
    """Rate times the root of the count stays what it is for the published default within 0.3 % of the base."""
    inventory = mini_lm()
    space, known = Space({name: {}}, inventory, Budget(200_000, 1)), method(name)
    stated = known.fit(known.configuration(), inventory, int(0.003 * inventory.base_parameters))
    at = known.count(stated, inventory).trainable_parameters
    try:
        found = space.propose(
            FixedSuggester({"share": share, "learning_rate_multiplier": multiplier, "targets": "all"})
        )
    except Rejected:
        return
    size = found.count.trainable_parameters
    expected = known.learning_rate * multiplier * (max(at, size) / size) ** 0.5
    assert found.configuration.learning_rate == pytest.approx(expected, rel=1e-3)


def test_a_rate_that_the_spec_gives_is_taken_as_it_is() -> None:
    space = Space({"lora": {"learning_rate": 1e-3}}, mini_lm(), Budget(3_000, 1))
    assert space.propose(FixedSuggester({"share": 1.0})).configuration.learning_rate == 1e-3
