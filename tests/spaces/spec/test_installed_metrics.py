"""Metrics that other packages bring."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spaces.errors import RequestError
from spaces.spec.metrics import METRICS, known_metrics, standard_error
from spaces.spec.schema import spec_schema
from spaces.spec.spec import SearchSpec, parse_spec
from tests.installed import install

WITHIN_ONE = """
from spaces.spec.metrics import Metric
from spaces.spec.sections import Task

METRICS = (
    Metric(
        "within-one",
        "max",
        1.0,
        frozenset({Task.REGRESSION}),
        lambda predictions, references: (abs(predictions - references) <= 1).mean(),
    ),
)
"""


@pytest.fixture
def within_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with a metric is installed."""
    install(
        tmp_path, "some-metrics", "paretune.metrics", {"within": "metric_of_a_package"}, metric_of_a_package=WITHIN_ONE
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    known_metrics.cache_clear()
    yield
    known_metrics.cache_clear()


def spec(task: str) -> SearchSpec:
    return parse_spec(
        {
            "name": "a",
            "model": {"path": "m", "task": task},
            "data": {"train": "t.csv"},
            "budget": {"parameters": 1},
            "objective": {"metric": "within-one"},
        }
    )


def test_without_packages_there_are_the_built_in_ones() -> None:
    assert known_metrics() == METRICS
    with pytest.raises(
        RequestError, match=r"objective\.metric = 'within-one' does not fit task regression; allowed: loss, "
    ):
        spec("regression")


@pytest.mark.usefixtures("within_one")
def test_a_metric_of_a_package_is_one_like_any_other() -> None:
    assert list(known_metrics()) == [*METRICS, "within-one"]
    metric = spec("regression").metric
    assert (metric.name, metric.mode, metric.perfect) == ("within-one", "max", 1.0)
    assert metric.score is not None
    assert metric.score(np.array([1.0, 2.0, 5.0, 9.0]), np.array([1.5, 2.0, 4.0, 7.0])) == 0.75
    assert math.isclose(standard_error(metric, 0.75, 300), math.sqrt(0.75 * 0.25 / 300))
    assert "within-one" in str(spec_schema())
    with pytest.raises(
        RequestError, match=r"objective\.metric = 'within-one' does not fit task sequence-classification"
    ):
        spec("sequence-classification")


@pytest.mark.usefixtures("within_one")
def test_it_is_scored_by_its_function() -> None:
    from trainables.evaluation.predictions import Predictions, score

    predicted, references = np.array([1.0, 2.0, 5.0, 9.0]), np.array([1.5, 2.0, 4.0, 7.0])
    ones = np.ones(4)
    outputs = Predictions(predicted, references, 1, ones, ones.astype(np.int64), 1.0, finite=True)
    assert score("within-one", outputs) == 0.75
    assert math.isnan(
        score("within-one", Predictions(predicted, references, 1, ones, ones.astype(np.int64), 1.0, False))
    )
