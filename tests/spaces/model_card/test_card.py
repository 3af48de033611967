"""The recipe of an export: a search for exactly one trial."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import yaml

from spaces.methods.registry import configuration, method, methods
from spaces.model.inventory import Inventory
from spaces.model_card.card import Card, Written
from spaces.model_card.loading_code import LoadingCode
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from spaces.spec.budget import resolve_budget
from spaces.spec.spec import SearchSpec, parse_spec
from tests.spaces.cards import card_of
from tests.spaces.random_suggester import RandomSuggester


def card(name: str, inventory: Inventory) -> Card:
    spec = parse_spec(
        {
            "name": "mine",
            "model": {"path": "some/model"},
            "data": {"train": "train.csv"},
            "budget": {"parameters": "90%", "at_least": 2, "bytes": "200MB"},
            "methods": ["lora", name] if name != "lora" else [name],
            "search": {
                "start_with": [{"method": "lora", "rank": 4}],
                "start_from": ["earlier"],
                "time_limit": 60,
                "max_total_steps": 5,
            },
        }
    )
    known = method(name)
    start = configuration(name, {"layers": 2} if "layers" in known.configuration.model_fields else {})
    chosen = known.fit(start, inventory, inventory.base_parameters)
    return card_of(spec, name, chosen, inventory, seed=7)


def recipe(made: Card) -> SearchSpec:
    return parse_spec(yaml.safe_load(made.recipe))


def test_a_recipe_begins_with_nothing_and_ends_at_nothing(inventory: Inventory) -> None:
    search = recipe(card("sparta", inventory)).search
    assert (search.trials, search.stopper, search.seed) == (1, "none", 7)
    assert (search.start_with, search.start_from, search.time_limit, search.max_total_steps) == ((), (), None, None)


def test_a_recipe_says_which_lists_of_files_it_wants(inventory: Inventory) -> None:
    made = card("lora", inventory)
    data = made.spec.data.model_copy(update={"train": ("/secret/a.csv", "/secret/b.csv"), "test": "/secret/c.csv"})
    made = replace(made, spec=made.spec.model_copy(update={"data": data}))
    assert "with --set data.test=PATH --set 'data.train=[PATH, …]'" in made.recipe
    assert recipe(made).data.train == ("a.csv", "b.csv")
    assert "/secret" not in made.recipe


def test_a_recipe_has_the_training_of_its_trial(inventory: Inventory) -> None:
    made = card("sparta", inventory)
    varied = {"optim": ["adamw_torch", "adafactor"], "per_device_train_batch_size": [4, 8]}
    values = made.spec.model_dump(mode="json")
    spec = parse_spec({**values, "training": {**values["training"], **varied}})
    chosen = {"optim": "adafactor", "per_device_train_batch_size": 8}
    made = replace(made, spec=spec, training=chosen, best_step=20)
    training = recipe(made).training
    assert training.knobs == {}
    assert (training.optim, training.per_device_train_batch_size) == ("adafactor", 8)
    code = LoadingCode(spec.model.task, "peft", "some/model", False, None, "float32", max_length=64)
    page = made.markdown(Written("peft", code))
    assert "`training.optim adafactor`" in page
    assert "steps of 8 examples, seed 7; the weights are those of step 20, the best |" in page


def test_a_recipe_proposes_its_trial_and_no_other(inventory: Inventory) -> None:
    for name in methods():
        made = card(name, inventory)
        spec = recipe(made)
        budget = resolve_budget(spec.budget, inventory.base_parameters, inventory.head_parameters)
        space = Space(spec.methods, inventory, budget, spec.search.seed)
        # What a search asks for first, which of `full` is all of the budget.
        first = FixedSuggester(next(space.published()))
        for draw in (first, *(RandomSuggester(np.random.default_rng(seed)) for seed in range(5 * (name != "full")))):
            proposal = space.propose(draw)
            assert (proposal.method, proposal.settings) == (name, made.config)
