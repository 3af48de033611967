"""Counts of sets and chunks by hand, and placements against pairs of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.evaluation.class_scores import (
    auc,
    auc_values,
    chunk_counts,
    f1,
    f1_values,
    occurring,
    one_against_rest,
    placements,
    set_counts,
)


def test_sets_are_counted_by_row_and_label() -> None:
    right, both = set_counts(np.array([[1, 0], [1, 1]]), np.array([[1.0, 0], [0, 1]]))
    assert right.tolist() == [[1, 0], [0, 1]]
    assert both.tolist() == [[2, 0], [1, 2]]
    assert occurring(np.array([[0.0, 1], [0, 2]])).tolist() == [1]


def test_chunks_are_right_as_a_whole() -> None:
    wanted = [["B-PER", "I-PER", "O"], ["B-LOC", "B-LOC"], ["O"]]
    found = [["B-PER", "I-PER", "I-PER"], ["B-LOC", "I-LOC"], ["O"]]
    right, both = chunk_counts(found, wanted)
    assert right.tolist() == [0, 0, 0]
    assert both.tolist() == [2, 3, 0]
    right, both = chunk_counts(wanted, wanted)
    assert (right.tolist(), both.tolist()) == ([1, 2, 0], [2, 4, 0])


def test_nothing_on_either_side_has_no_f1() -> None:
    none = np.zeros(3)
    assert f1(none, none) == 0.0
    assert f1_values(none, none).tolist() == [0, 0, 0]


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=12))
def test_placements_are_shares_of_pairs(rows: list[tuple[int, bool]]) -> None:
    score, positive = np.array([one for one, _ in rows], dtype=np.float64), np.array([one for _, one in rows])
    if positive.all() or not positive.any():
        return
    pairs = [[(one > other) + (one == other) / 2 for other in score[~positive]] for one in score[positive]]
    assert placements(score, positive) == pytest.approx(np.mean(pairs, axis=1))
    two = np.stack([-score, score], axis=1)
    assert auc(two, positive.astype(np.int64)) == pytest.approx(np.mean(pairs))
    assert auc_values(two, positive.astype(np.int64)).mean() == pytest.approx(np.mean(pairs))


def test_classes_without_two_sides_are_left_out() -> None:
    scores = np.zeros((4, 3))
    assert len(list(one_against_rest(scores, np.array([0, 0, 1, 1])))) == 2
    assert len(list(one_against_rest(scores[:, :2], np.array([0, 0, 1, 1])))) == 1
    assert auc(scores, np.zeros(4, dtype=np.int64)) == 0.5
    assert auc_values(scores, np.zeros(4, dtype=np.int64)).tolist() == [0.5] * 4
