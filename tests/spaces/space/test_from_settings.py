"""Configurations that are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spaces.errors import RequestError
from spaces.methods.base.knobs import Choice, Range
from spaces.methods.registry import method
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.from_settings import suggestion
from spaces.space.proposal import Rejected
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from tests.spaces.random_suggester import RandomSuggester

ALL: dict[str, dict[str, Any]] = {"lora": {}, "sparta": {}, "surm-circulant": {}, "dst": {}}


def space_of(inventory: Inventory, methods: dict[str, dict[str, Any]] | None = None) -> Space:
    return Space(methods or ALL, inventory, Budget(68_000, 200))


def test_settings_are_taken_exactly_and_others_are_defaults(inventory: Inventory) -> None:
    found = suggestion(space_of(inventory), {"method": "lora", "rank": 3, "targets": "qkv", "learning_rate": 5e-3})
    own = found.proposal.settings
    assert (own["rank"], own["targets"], own["learning_rate"]) == (3, "qkv", 5e-3)
    assert own["scaling"] == 2.0
    assert found.knobs["method"] == "lora"
    assert found.knobs["targets"] == "qkv"
    known = method("lora")
    factor = space_of(inventory).sampler.rate_factor(known, found.proposal.count)
    assert found.knobs["learning_rate_multiplier"] == pytest.approx(5e-3 / known.learning_rate / factor)


def test_varied_fields_of_the_training_are_given_beside_the_settings(inventory: Inventory) -> None:
    training = {"weight_decay": Range(0.0, 1.0), "optim": Choice(("adamw_torch", "adafactor"))}
    space = Space(ALL, inventory, Budget(68_000, 200), training=training)
    given = {"method": "lora", "rank": 3, "training.optim": "adafactor"}
    found = suggestion(space, given)
    assert found.proposal.training == {"weight_decay": 0.01, "optim": "adafactor"}
    assert found.knobs["training.weight_decay"] == 0.01
    assert found.knobs["training.optim"] == "adafactor"
    assert found.proposal.signature != suggestion(space, {"method": "lora", "rank": 3}).proposal.signature
    assert "training.optim" in given
    for outside in ({"training.weight_decay": 2}, {"training.optim": "adamw_8bit"}):
        with pytest.raises(Rejected, match=f"{next(iter(outside))} = .*: outside the values"):
            suggestion(space, {"method": "lora", **outside})
    with pytest.raises(RequestError, match=r"training.max_steps = 3: not varied.*allowed: training.weight_decay, "):
        suggestion(space, {"method": "lora", "training.max_steps": 3})
    with pytest.raises(RequestError, match=r"training.optim = adafactor: not varied by this search; allowed: none"):
        suggestion(space_of(inventory), given)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_what_the_space_proposes_it_takes_back(inventory: Inventory, seed: int) -> None:
    space, draw = space_of(inventory), RandomSuggester(np.random.default_rng(seed))
    try:
        proposal = space.propose(draw)
    except Rejected:
        return
    found = suggestion(space, {"method": proposal.method, **proposal.settings})
    assert found.proposal == proposal
    near = space.propose(FixedSuggester(found.knobs))
    assert near.method == proposal.method
    assert near.count.trainable_parameters == pytest.approx(proposal.count.trainable_parameters, rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "nothing"}, "method = nothing: not searched here; allowed: lora, sparta"),
        ({}, "method = None: not searched here"),
        ({"method": "lora", "rang": 4}, "rang"),
        ({"method": "lora", "rank": 0}, "rank"),
    ],
)
def test_what_no_method_takes_is_refused(inventory: Inventory, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        suggestion(space_of(inventory), wrong)


def test_what_lies_outside_is_rejected(inventory: Inventory) -> None:
    with pytest.raises(Rejected, match="outside the budget"):
        suggestion(space_of(inventory), {"method": "lora", "rank": 64, "targets": "all"})
    narrowed = space_of(inventory, {"lora": {"rank": [1, 2], "learning_rate": {"low": 1e-4, "high": 1e-3}}})
    with pytest.raises(Rejected, match="rank = 3"):
        suggestion(narrowed, {"method": "lora", "rank": 3, "learning_rate": 1e-3})
    with pytest.raises(Rejected, match="learning_rate"):
        suggestion(narrowed, {"method": "lora", "rank": 2, "learning_rate": 1e-2})
    assert suggestion(narrowed, {"method": "lora", "rank": 2, "learning_rate": 1e-3}).proposal.settings["rank"] == 2


@pytest.mark.parametrize("entries", [200, 5_001, 67_999, 68_000])
def test_the_knobs_of_a_method_that_takes_any_size_give_the_same_size(inventory: Inventory, entries: int) -> None:
    space = space_of(inventory)
    share = (entries + 0.5) / space.sampler.allowance
    proposal = space.sampler.sample("dst", FixedSuggester({"share": share}))
    assert proposal.count.trainable_parameters == entries
    knobs = suggestion(space, {"method": "dst", **proposal.settings}).knobs
    assert space.propose(FixedSuggester(knobs)) == proposal
    assert knobs["share"] <= 1.0
