"""Sets of labels, from lists and from columns of 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spaces.errors import RequestError
from tests.trainables.encoded_texts import table
from trainables.data.targets.label_sets import LabelColumns, LabelLists, check_varied


def test_lists_become_ones() -> None:
    rows, reader = table(topics=[["war", "art"], [], ["art"]]), LabelLists("topics")
    names = reader.names(rows)
    assert names == ("art", "war")
    found = reader.read(rows, names)
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert reader.strata(found) is None
    reader.check(rows, found)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([["art"], ["art", "tea"]], "row 2: label 'tea' is not among those of data.train; allowed: art, war"),
        ([["art"], "art, war"], "row 2: column 'topics' holds 'art, war'; allowed: a list of labels"),
        ([["art"], [["war"]]], "row 2: column 'topics' holds \\['war'\\]"),
    ],
)
def test_unknown_items_are_refused(values: list[Any], problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        LabelLists("topics").read(table(topics=values), ("art", "war"))


def test_rows_without_any_label_are_refused() -> None:
    with pytest.raises(RequestError, match="no row has a label; allowed: two labels or more"):
        LabelLists("topics").names(table(topics=[[], []]))


def test_columns_are_their_own_names() -> None:
    rows, reader = table(art=["0", 1.0, True], war=[1, " false ", 0]), LabelColumns(("war", "art"))
    assert reader.columns == (("data.label", "war"), ("data.label", "art"))
    assert reader.names(rows) == ("war", "art")
    assert reader.read(rows, ("war", "art")).tolist() == [[1, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize("value", [2, "yes", None, 0.5])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(RequestError, match=r"row 2: column 'art' holds .*; allowed: 0 or 1"):
        LabelColumns(("art",)).read(table(art=[1, value]), ("art",))


def test_a_split_of_equal_rows_is_refused() -> None:
    with pytest.raises(RequestError, match="every row has the same labels"):
        check_varied(table(a=[1, 1]), np.array([[0, 1], [0, 1]]))
    check_varied(table(a=[1, 1]), np.array([[0, 1], [1, 1]]))
