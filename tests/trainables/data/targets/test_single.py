"""One class or number a row; the checks of values are tested with trainables.data.column_checks."""

from __future__ import annotations

import pytest

from spaces.errors import RequestError
from tests.trainables.encoded_texts import table
from trainables.data.targets.single import Classes, Numbers


def test_classes_are_drawn_in_their_proportions() -> None:
    rows, reader = table(label=["b", "a", "b"]), Classes("label")
    assert reader.names(rows) == ("a", "b")
    found = reader.read(rows, ("a", "b"))
    assert found.tolist() == [1, 0, 1]
    assert reader.strata(found) is found


def test_numbers_have_no_names() -> None:
    rows, reader = table(label=["1.5", 2]), Numbers("label")
    assert reader.names(rows) == ()
    found = reader.read(rows, ())
    assert found.tolist() == [1.5, 2]
    assert reader.strata(found) is None


@pytest.mark.parametrize("reader", [Classes("label"), Numbers("label")])
def test_equal_targets_are_refused(reader: Classes | Numbers) -> None:
    rows = table(label=["1", "1"])
    with pytest.raises(RequestError, match="every row has the label '1'"):
        reader.check(rows, reader.read(rows, ("1",)))
