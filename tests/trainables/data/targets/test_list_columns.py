"""Columns of lists: what is refused, and the row that an item is of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spaces.errors import RequestError
from tests.trainables.encoded_texts import table
from trainables.data.targets.list_columns import items, lists


def test_every_kind_of_list_is_read() -> None:
    assert lists(table(a=[["x"], ("y", "z"), np.array([1, 2]), []]), "a", "words") == [["x"], ["y", "z"], [1, 2], []]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "row 2: column 'a' is empty; allowed: a list of words"),
        ("x y", "row 2: column 'a' holds 'x y'; allowed:"),
    ],
)
def test_what_is_no_list_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        lists(table(a=[["x"], value]), "a", "words")


def test_items_keep_the_row_of_their_list() -> None:
    found = items(table(a=[["x"], [], ["y", "z"]]), "a", [["x"], [], ["y", "z"]])
    assert found.columns == {"a": ["x", "y", "z"]}
    assert str(found.problem(2, "wrong")).endswith("row 3: wrong")
