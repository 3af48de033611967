"""Errors of any text on one line."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from spaces import errors
from spaces.errors import one_line


@given(st.text(max_size=400), st.integers(1, 400))
def test_one_line_holds_all_words_within_its_limit(text: str, most: int) -> None:
    line = one_line(ValueError(text), most)
    assert len(line.splitlines()) == 1
    assert line == (" ".join(text.split())[:most] or "ValueError")
    assert one_line(text, None).split() == (text.split() or ["str"])


def test_one_line_leaves_out_a_query_and_names_a_silent_error() -> None:
    assert one_line("database is locked\n[SQL: SELECT name FROM x]\n(Background)") == "database is locked"
    assert one_line("name = '[SQL: as a name]'") == "name = '[SQL: as a name]'"
    assert one_line(KeyError()) == "KeyError"
    assert len(one_line(ValueError("x" * 1000))) == 300


def test_the_example_is_true() -> None:
    found = doctest.testmod(errors)
    assert (found.attempted, found.failed) == (1, 0)
