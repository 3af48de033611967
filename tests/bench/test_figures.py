"""What benchmarks count, on cases that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.bench.figures import spread, write_sentences
from tests.bench.starts import slot_seconds, within


def test_time_is_given_to_the_interval_that_it_falls_into() -> None:
    intervals = [("asking", 0.0, 1.0), ("telling", 1.5, 2.0), ("asking", 3.0, 9.0), ("telling", 10.0, 11.0)]
    assert within(0.5, 4.0, intervals) == {"asking": pytest.approx(0.5 + 1.0), "telling": pytest.approx(0.5)}


def test_a_slot_is_taken_from_one_end_to_the_next_in_it() -> None:
    assert slot_seconds([10.0, 12.0, 13.0, 16.0, 17.0], slots=2) == [3.0, 4.0, 4.0]
    assert slot_seconds([13.0, 10.0, 12.0], slots=1) == [2.0, 1.0]
    assert slot_seconds([10.0], slots=2) == []


def test_a_single_value_is_its_own_spread() -> None:
    assert spread([2.0]) == {"count": 1, "median": 2.0, "low": 2.0, "high": 2.0}
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == {"count": 5, "median": 3.0, "low": 2.0, "high": 4.0}


def test_sentences_have_as_many_words_as_asked_for(tmp_path: Path) -> None:
    rows = pd.read_csv(write_sentences(tmp_path / "rows.csv", 40, 7, seed=0))
    assert {len(text.split()) for text in rows["text"]} == {7}
    assert set(rows["label"]) == {0, 1}
