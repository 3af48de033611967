"""Standard errors against a bootstrap over rows, and against what is known of shares and means."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from spaces.spec.sections import Task
from spaces.trials.row_values import pack
from trainables.evaluation.predictions import Evaluation, Measured, Predictions
from trainables.evaluation.standard_errors import loss_error, quality_error


def outputs_of(losses: list[float], terms: list[int]) -> Predictions:
    """Outputs of which the losses alone are looked at."""
    nothing = np.zeros(len(losses))
    mean = sum(losses) / max(1, sum(terms))
    return Predictions(nothing, nothing, 2, np.array(losses), np.array(terms), mean, finite=math.isfinite(mean))


def test_the_error_of_a_loss_is_that_of_a_bootstrap_over_rows() -> None:
    """Rows of different lengths, whose tokens are alike: long rows are the harder ones."""
    draws = np.random.default_rng(0)
    terms = draws.integers(1, 40, 300)
    losses = terms * draws.gamma(2.0, 0.5 + terms / 40)
    drawn = draws.integers(0, 300, (4_000, 300))
    means = losses[drawn].sum(axis=1) / terms[drawn].sum(axis=1)
    found = loss_error(outputs_of(losses.tolist(), terms.tolist()))
    assert found == pytest.approx(float(means.std()), rel=0.05)
    # As if tokens had been drawn, and not rows, it would be much smaller.
    assert found > 2 * float((losses / terms).std()) / math.sqrt(terms.sum())


def test_of_one_term_a_row_it_is_the_error_of_a_mean() -> None:
    losses = [0.2, 1.4, 0.9, 3.1]
    expected = float(np.std(losses, ddof=1)) / math.sqrt(4)
    assert loss_error(outputs_of(losses, [1] * 4)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("losses", "terms"), [([1.0], [3]), ([0.0, 0.0], [0, 0]), ([math.inf, 1.0], [1, 1]), ([math.nan, 1.0], [1, 1])]
)
def test_an_error_that_cannot_be_known_is_none(losses: list[float], terms: list[int]) -> None:
    assert loss_error(outputs_of(losses, terms)) is None


def test_rows_are_those_of_the_model_s_own_losses() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 6, 5), torch.randint(0, 5, (50, 6))
    labels[torch.arange(6) > torch.randint(1, 6, (50, 1))] = -100
    evaluation = Evaluation(Task.TOKEN_CLASSIFICATION)
    for rows in (slice(0, 20), slice(20, 50)):
        evaluation.add(logits[rows], labels[rows])
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").double().numpy()
    terms = (labels != -100).numpy().sum(axis=1)
    ratio = each.sum() / terms.sum()
    left_out = [(each.sum() - each[row].sum()) / (terms.sum() - terms[row]) for row in range(50)]
    jackknife = math.sqrt(49 / 50 * sum((one - ratio) ** 2 for one in left_out))
    assert loss_error(evaluation.predictions(list("abcde"))) == pytest.approx(jackknife, rel=0.03)


def test_the_error_of_a_share_is_that_of_a_binomial() -> None:
    right = np.array([True] * 30 + [False] * 10)
    found = quality_error(Measured(0.75, pack(right)))
    assert found == pytest.approx(math.sqrt(0.75 * 0.25 / 39))
    assert quality_error(Measured(0.75, None)) is None
    assert quality_error(Measured(1.0, pack(np.array([True])))) is None
