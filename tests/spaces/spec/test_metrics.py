"""Metrics: directions, and standard errors against samples of the distributions that they assume."""

from __future__ import annotations

import numpy as np
import pytest

from spaces.spec.metrics import DEFAULT_METRIC, METRICS, standard_error
from spaces.spec.sections import Task

ROWS, TIMES = 400, 4_000


def sampled_error(name: str) -> tuple[float, float]:
    """The true quality, and the standard deviation of its estimate on `ROWS` rows."""
    generator = np.random.default_rng(0)
    if name == "accuracy":
        return 0.7, float(np.std(generator.binomial(ROWS, 0.7, TIMES) / ROWS))
    if name == "pearson":
        first = generator.normal(size=(TIMES, ROWS))
        second = 0.6 * first + 0.8 * generator.normal(size=(TIMES, ROWS))
        found = [np.corrcoef(left, right)[0, 1] for left, right in zip(first, second, strict=True)]
        return 0.6, float(np.std(found))
    losses = generator.exponential(1.5, size=(TIMES, ROWS)).mean(axis=1)
    return (1.5, float(np.std(losses))) if name == "loss" else (float(np.exp(1.5)), float(np.std(np.exp(losses))))


@pytest.mark.parametrize("name", ["accuracy", "pearson", "loss", "perplexity"])
def test_standard_errors_are_those_of_samples(name: str) -> None:
    quality, expected = sampled_error(name)
    assert standard_error(METRICS[name], quality, ROWS) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_quality_has_no_error_and_nothing_is_better(name: str) -> None:
    metric = METRICS[name]
    assert standard_error(metric, metric.perfect, 100) == 0
    worse = metric.perfect - 0.1 if metric.mode == "max" else metric.perfect + 0.1
    assert metric.better(metric.perfect, worse)
    assert not metric.better(worse, metric.perfect)
    assert not metric.better(worse, worse)


def test_qualities_out_of_range_have_finite_errors() -> None:
    assert standard_error(METRICS["f1"], 1.2, 10) == 0
    assert standard_error(METRICS["matthews"], -1.2, 10) == 0
    assert standard_error(METRICS["perplexity"], 0.5, 10) == 0


def test_every_task_has_a_default_metric_that_fits_it() -> None:
    assert set(DEFAULT_METRIC) == set(Task)
    assert all(task in METRICS[name].tasks for task, name in DEFAULT_METRIC.items())
