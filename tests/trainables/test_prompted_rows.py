"""Prompts as tokens, padded on either side."""

from __future__ import annotations

import numpy as np

from tests.trainables.prompts_of_tokens import PROMPTS, rows_of

ROWS = rows_of(*PROMPTS, references=["a", "b", "c", "d"])


def test_prompts_are_padded_on_the_side_that_is_asked_for() -> None:
    left, right = (ROWS.take(np.array([1, 2]), side) for side in ("left", "right"))  # type: ignore[arg-type]
    assert left["input_ids"].tolist() == [[0, 0, 11, 12], [13, 14, 15, 16]]
    assert left["attention_mask"].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert right["input_ids"].tolist() == [[11, 12, 0, 0], [13, 14, 15, 16]]
    assert right["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_the_first_rows_keep_prompts_and_references() -> None:
    assert len(ROWS.first(9)) == len(ROWS) == 4
    two = ROWS.first(2)
    assert two.references == ("a", "b")
    assert two.lengths().tolist() == [6, 2]
    assert two.tokens.tolist() == [*PROMPTS[0], *PROMPTS[1]]
