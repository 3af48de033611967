"""Values by row against the metric itself, delete-one jackknifes and bootstraps, and what they say of two trainings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spaces.spec.metrics import METRICS, OF_WRITTEN
from spaces.spec.sections import Task
from spaces.trials.row_values import pack, paired_error, unpack
from trainables.evaluation.predictions import Evaluation, Predictions, score
from trainables.evaluation.row_influence import row_values

OF_CLASSES = ("accuracy", "f1", "f1-macro", "f1-micro", "auc", "matthews", "loss")
OF_SETS = ("accuracy", "f1-macro", "f1-micro", "auc", "loss")
OF_TAGS = ("accuracy", "f1-macro", "f1-micro", "matthews", "seqeval-f1", "loss")
OF_NUMBERS = ("pearson", "spearman", "loss")
OF_TEXT = ("exact-match", "loss", "perplexity")
ALL = [
    *((Task.SEQUENCE_CLASSIFICATION, name) for name in OF_CLASSES),
    *((Task.MULTI_LABEL_CLASSIFICATION, name) for name in OF_SETS),
    *((Task.TOKEN_CLASSIFICATION, name) for name in OF_TAGS),
    *((Task.REGRESSION, name) for name in OF_NUMBERS),
    *((Task.CAUSAL_LM, name) for name in OF_TEXT),
    (Task.SEQ2SEQ_LM, "exact-match"),
]

# Slow to draw again hundreds of times, and held by the other tests.
MANY_COUNTS = [one for one in ALL if one[0] in (Task.MULTI_LABEL_CLASSIFICATION, Task.TOKEN_CLASSIFICATION)]
TAGS = ("O", "B-PER", "I-PER", "B-LOC")
Split = tuple[torch.Tensor, torch.Tensor]


def split_of(task: Task, rows: int, seed: int, noise: float = 1.0) -> Split:
    """Logits that say something of the labels; two seeds have the same labels."""
    labels_of, generator = np.random.default_rng(7), np.random.default_rng(seed)
    if task is Task.REGRESSION:
        wanted = labels_of.integers(0, 6, rows).astype(np.float32)
        found = wanted + noise * 3 * generator.normal(size=rows)
        return torch.tensor(found[:, None], dtype=torch.float32), torch.tensor(wanted)
    if task is Task.SEQ2SEQ_LM:
        logits, labels = split_of(Task.CAUSAL_LM, rows, seed, noise)
        return logits[:, :-1], labels[:, 1:]
    if task is Task.CAUSAL_LM:
        tokens = labels_of.integers(0, 5, (rows, 6))
        labels = np.where(np.arange(6) < labels_of.integers(3, 7, rows)[:, None], tokens, -100)
        labels[:, 0] = -100
        logits = noise * generator.normal(size=(rows, 6, 5))
        logits[:, :-1] += 2.5 * np.eye(5)[tokens[:, 1:]]
        return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)
    if task is Task.MULTI_LABEL_CLASSIFICATION:
        sets = labels_of.random((rows, 3)) < [0.5, 0.3, 0.2]
        logits = 1.5 * (2 * sets - 1) + 1.5 * noise * generator.normal(size=(rows, 3))
        return torch.tensor(logits, dtype=torch.float32), torch.tensor(sets, dtype=torch.float32)
    if task is Task.TOKEN_CLASSIFICATION:
        words = np.arange(6) < labels_of.integers(1, 7, rows)[:, None]
        tags = np.where(words, labels_of.choice(len(TAGS), (rows, 6), p=[0.4, 0.2, 0.2, 0.2]), -100)
        logits = 2 * np.eye(len(TAGS))[np.maximum(tags, 0)] + noise * generator.normal(size=(rows, 6, len(TAGS)))
        return torch.tensor(logits, dtype=torch.float32), torch.tensor(tags)
    wanted = labels_of.choice(3, rows, p=[0.6, 0.3, 0.1])
    logits = 1.5 * np.eye(3)[wanted] + noise * generator.normal(size=(rows, 3))
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(wanted)


def predictions(task: Task, split: Split, rows: npt.NDArray[np.int64] | None = None) -> Predictions:
    logits, labels = split
    evaluation = Evaluation(task, scores=task in METRICS["auc"].tasks)
    evaluation.add(*((logits, labels) if rows is None else (logits[rows], labels[rows])))
    return evaluation.predictions(TAGS)


@pytest.mark.parametrize(("task", "metric"), ALL)
def test_their_mean_is_the_metric(task: Task, metric: str) -> None:
    outputs = predictions(task, split_of(task, 200, 1))
    assert row_values(metric, outputs, 1).mean() == pytest.approx(score(metric, outputs, 1), rel=1e-5)


@pytest.mark.parametrize(("task", "metric"), ALL)
def test_a_row_moves_the_metric_as_its_value_says(task: Task, metric: str) -> None:
    """Against the metric without that row: what is left is of the second order."""
    rows, split = 400, split_of(task, 400, 2)
    whole = predictions(task, split)
    values, metric_of_all = row_values(metric, whole, 1), score(metric, whole, 1)
    for row in (0, 3, 17, 200, 399):
        without = score(metric, predictions(task, split, np.delete(np.arange(rows), row)), 1)
        pseudo = rows * metric_of_all - (rows - 1) * without
        assert values[row] == pytest.approx(pseudo, abs=0.03 * max(1.0, float(np.abs(values).max())))


@pytest.mark.parametrize(("task", "metric"), [one for one in ALL if one not in MANY_COUNTS])
def test_errors_are_those_of_a_bootstrap_over_rows(task: Task, metric: str) -> None:
    rows, left, right = 400, split_of(task, 400, 3), split_of(task, 400, 4, noise=1.2)
    ours = [unpack(pack(row_values(metric, predictions(task, one), 1))) for one in (left, right)]
    assert ours[0] is not None
    assert ours[1] is not None
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(600):
        drawn = generator.integers(0, rows, rows)
        draws.append([score(metric, predictions(task, one, drawn), 1) for one in (left, right)])
    alone, both = np.std(np.array(draws)[:, 0]), np.std(np.subtract(*np.array(draws).T))
    assert ours[0].error == pytest.approx(alone, rel=0.15)
    assert paired_error(*ours) == pytest.approx(both, rel=0.15)


def test_every_metric_has_values() -> None:
    assert {name for _, name in ALL} == METRICS.keys() - OF_WRITTEN


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=30))
def test_whatever_was_predicted_the_mean_is_the_metric(pairs: list[tuple[int, int]]) -> None:
    predicted, wanted = (np.array(one) for one in zip(*pairs, strict=True))
    evaluation = Evaluation(Task.SEQUENCE_CLASSIFICATION, scores=True)
    evaluation.add(torch.tensor(np.eye(3)[predicted] * 4, dtype=torch.float32), torch.tensor(wanted))
    outputs = evaluation.predictions()
    for metric in OF_CLASSES:
        values = row_values(metric, outputs, 1)
        assert np.isfinite(values).all()
        assert values.mean() == pytest.approx(score(metric, outputs, 1), abs=1e-6)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=3, max_size=30))
def test_correlations_with_ties_have_their_mean(pairs: list[tuple[int, int]]) -> None:
    predicted, wanted = (np.array(one, dtype=np.float32) for one in zip(*pairs, strict=True))
    assume(np.ptp(predicted) > 0 and np.ptp(wanted) > 0)
    evaluation = Evaluation(Task.REGRESSION)
    evaluation.add(torch.tensor(predicted[:, None]), torch.tensor(wanted))
    outputs = evaluation.predictions()
    for metric in ("pearson", "spearman"):
        assert row_values(metric, outputs).mean() == pytest.approx(score(metric, outputs), abs=1e-6)
