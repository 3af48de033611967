"""Whose published default comes next."""

from __future__ import annotations

import itertools

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.suggest.published_defaults import OWN, THIN, PublishedDefaults
from search.suggest.study_trials import PUBLISHED
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester

METHODS = {"lora": {}, "sparta": {}, "dst": {}}


@pytest.fixture
def space(inventory: Inventory) -> Space:
    return Space(METHODS, inventory, Budget(100_000, 100))


def taken(*turns: str | None) -> list[optuna.trial.FrozenTrial]:
    marks = [{} if turn is None else {PUBLISHED: turn} for turn in turns]
    return [create_trial(state=TrialState.RUNNING, user_attrs=one) for one in marks]


def drain(defaults: PublishedDefaults) -> list[tuple[str, str | None]]:
    """Take all turns, each with its method where it has one."""
    found: list[tuple[str, str | None]] = []
    for planned in itertools.count():
        turn = defaults.turn(planned)
        if turn is None:
            return found
        knobs = defaults.own() if turn == OWN else defaults.at(0.05)
        found.append((turn, None if knobs is None else str(knobs["method"])))
    raise AssertionError


def test_both_kinds_take_turns_and_each_method_comes_once_in_either(space: Space) -> None:
    turns = drain(PublishedDefaults(space, [], 0, elsewhere=True))
    assert [turn for turn, _ in turns] == [OWN, THIN] * len(METHODS)
    assert [method for turn, method in turns if turn == OWN] == list(space.names)
    assert sorted(str(method) for turn, method in turns if turn == THIN) == sorted(METHODS)


def test_where_sizes_are_not_chosen_only_the_published_ones_come(space: Space) -> None:
    defaults = PublishedDefaults(space, [], 0, elsewhere=False)
    assert [defaults.turn(1), defaults.turn(2)] == [None, OWN]
    for _ in METHODS:
        defaults.own()
    assert defaults.turn(4) is None


def test_a_resumed_search_goes_on_with_what_is_left(space: Space) -> None:
    whole = drain(PublishedDefaults(space, [], 3, elsewhere=True))
    after = PublishedDefaults(space, taken(OWN, THIN, None, OWN), 3, elsewhere=True)
    assert drain(after) == [whole[4], whole[3], whole[5]]


def test_the_order_at_thin_sizes_follows_the_seed(space: Space) -> None:
    orders = {
        tuple(method for turn, method in drain(PublishedDefaults(space, [], seed, elsewhere=True)) if turn == THIN)
        for seed in range(20)
    }
    assert len(orders) > 1


def test_a_default_at_a_share_has_about_that_size(space: Space) -> None:
    defaults = PublishedDefaults(space, [], 0, elsewhere=True)
    for _ in METHODS:
        knobs = defaults.at(0.5)
        assert knobs is not None
        size = space.propose(FixedSuggester(knobs)).count.trainable_parameters
        assert 20_000 < size <= 50_000
