"""A suggester with fixed values: given ones where a knob allows them."""

from __future__ import annotations

from spaces.space.suggesters import FixedSuggester


def test_given_values_are_taken_where_a_knob_allows_them() -> None:
    fixed = FixedSuggester({"targets": "vo", "rank": 3, "share": 0.5, "layers": "last", "unused": 1})
    assert fixed.suggest_categorical("targets", ("qv", "vo")) == "vo"
    assert fixed.suggest_int("rank", 1, 8) == 3
    assert fixed.suggest_float("share", 0.1, 1.0, log=True) == 0.5
    assert fixed.used == {"targets": "vo", "rank": 3, "share": 0.5}


def test_otherwise_it_is_the_first_choice_or_the_upper_end() -> None:
    fixed = FixedSuggester({"targets": "mlp", "rank": 9, "share": 0.01, "layers": "last"})
    assert fixed.suggest_categorical("targets", ("qv", "vo")) == "qv"
    assert fixed.suggest_int("rank", 1, 8) == 8
    assert fixed.suggest_float("share", 0.1, 1.0) == 1.0
    assert fixed.suggest_int("layers", 1, 6) == 6
    assert fixed.suggest_float("absent", 0.0, 2.0) == 2.0
    assert fixed.used == {"targets": "qv", "rank": 8, "share": 1.0, "layers": 6, "absent": 2.0}
