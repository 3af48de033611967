"""Early stopping within a training, beside transformers' callback on the same qualities."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState

from trainables.training.patience import Patience

QUALITIES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=12)


def ended_by_transformers(qualities: list[float], patience: int, *, greater: bool) -> tuple[int, float]:
    """The evaluation after which transformers' Trainer ends, or the last; and its best metric then."""
    callback, control, state = EarlyStoppingCallback(patience), TrainerControl(), TrainerState()
    arguments = SimpleNamespace(greater_is_better=greater, metric_for_best_model="eval_quality")
    seen = 0
    for quality in qualities:
        seen += 1
        # As in Trainer._maybe_log_save_evaluate: the callback sees the best metric before this evaluation.
        callback.on_evaluate(arguments, state, control, {"eval_quality": quality})
        better = state.best_metric is None or (quality > state.best_metric if greater else quality < state.best_metric)
        state.best_metric = quality if better else state.best_metric
        if control.should_training_stop:
            break
    assert state.best_metric is not None
    return seen, state.best_metric


@given(qualities=QUALITIES, patience=st.integers(1, 5), greater=st.booleans())
def test_a_training_ends_where_that_of_transformers_does(qualities: list[float], patience: int, greater: bool) -> None:
    rule, best, seen = Patience(patience), None, 0
    for quality in qualities:
        seen += 1
        better = best is None or (quality > best if greater else quality < best)
        rule.evaluated(better=better)
        best = quality if better else best
        if rule.is_over:
            break
    assert (seen, best) == ended_by_transformers(qualities, patience, greater=greater)


@pytest.mark.parametrize("evaluations", [1, 9])
def test_without_a_limit_a_training_never_ends_early(evaluations: int) -> None:
    rule = Patience(None)
    for _ in range(evaluations):
        rule.evaluated(better=False)
    assert not rule.is_over


def test_what_was_waited_is_taken_up() -> None:
    first = Patience(3)
    first.evaluated(better=False)
    second = Patience(3)
    second.waited = first.waited
    second.evaluated(better=False)
    assert not second.is_over
    second.evaluated(better=False)
    assert second.is_over
