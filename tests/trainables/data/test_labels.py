"""Values of one class have one name or one key."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.labels import Label, label_key, label_name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1.0", "1"),
        (" 1 ", "1"),
        (-0.0, "0"),
        ("-0", "0"),
        (True, "True"),
        (0.5, "0.5"),
        (Decimal("2.00"), "2"),
        ("007", "007"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_names(value: Label, name: str) -> None:
    assert label_name(value) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [("007", "7"), ("true", "True"), ("½", "1⁄2"), ("a b", "a\u00a0b"), ("1e2", "100"), ("a", "a\u200b")],
)
def test_names_that_mean_the_same(one: str, other: str) -> None:
    assert label_key(one) == label_key(other)


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("1", "one"), ("a b", "ab"), ("1", "-1"), ("x1", "x01")])
def test_names_that_differ(one: str, other: str) -> None:
    assert label_key(one) != label_key(other)


@given(st.integers(-(10**9), 10**9))
def test_a_whole_number_has_one_name_however_it_comes(number: int) -> None:
    assert {label_name(one) for one in (number, float(number), str(number), Decimal(number))} == {str(number)}
